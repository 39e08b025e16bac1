//! camlens answers one question for anyone who runs an image classifier: where did it look?
//!
//! A request goes down through the rooms of this crate, and every import points the same way:
//!
//! ```text
//! http     the edge: a request becomes one typed struct, a result becomes an answer
//!   ↓
//! explain  the methods: Grad-CAM, Grad-CAM++, Score-CAM, as maths on arrays
//!   ↓
//! engine   ONNX Runtime: sessions, worker threads, masked passes, cancellation
//!   ↓
//! graph    ONNX as data: layers, the logit, the backward pass made of ONNX operators
//! ```
//!
//! [`model`] (what a model folder says) and [`picture`] (decode, resize, colour) are used from
//! above.

pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod explain;
pub mod graph;
pub mod http;
pub mod model;
pub mod picture;
pub mod telemetry;
