//! camlens answers one question about an image classifier: where did it look?
//!
//! A request passes through the modules of this crate from top to bottom, and every import points
//! the same way:
//!
//! ```text
//! http  cli   the edges: queries, forms and flags in; responses and files out
//!     ↓
//!    app      what a request means: options, validation, execution, rendering, response
//!     ↓
//!  explain    the methods, such as Grad-CAM and Score-CAM, as maths on arrays
//!     ↓
//!   engine    ONNX Runtime: sessions, worker threads, masked passes, cancellation
//!     ↓
//!   graph     ONNX as data: layers, the logit, the backward pass as ONNX operators
//! ```
//!
//! [`batch`] explains folders, archives and tables of images, and [`export`] writes a model with its
//! map as an ONNX file; only the command line uses them.
//! [`model`] (model folders), [`picture`] (decoding, resizing, colours) and [`text`] (reading and
//! shortening text) are used by the layers above.

pub mod app;
pub mod batch;
pub mod cli;
pub mod config;
mod digest;
pub mod engine;
pub mod error;
pub mod explain;
pub mod export;
pub mod graph;
pub mod http;
mod installation;
pub mod memory;
pub mod model;
mod panics;
pub mod picture;
mod processor;
mod regular_file;
mod spelling;
pub mod telemetry;
pub mod text;
pub mod warning;
