//! Reverse-mode differentiation of ONNX graphs: a model goes in, the same model with gradient
//! outputs comes out.
//!
//! The gradients are nodes of standard ONNX operators, so any runtime computes them; no training
//! runtime and no framework is involved. It takes three steps:
//!
//! 1. [`prepare`] rewrites the model into a form that can be differentiated.
//! 2. [`TensorFacts`] say which shapes its tensors have: read from the model where it declares
//!    them, or measured by running a [`shape_probe`] once.
//! 3. [`differentiate`] adds the gradients.
//!
//! ```
//! use onnx_gradient::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
//! use onnx_gradient::proto::{TensorProto, ValueInfoProto};
//! use onnx_gradient::{Differentiate, GradOutput, TensorFacts, differentiate, prepare};
//!
//! // A model file would be read by `ModelProto::decode(bytes)`, of `prost::Message`.
//! let model = ModelProto {
//!     opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
//!     graph: Some(GraphProto {
//!         node: vec![
//!             NodeProto::new("MatMul", &["x", "w"], &["logits"]),
//!             NodeProto::new("Softmax", &["logits"], &["scores"]),
//!         ],
//!         initializer: vec![TensorProto::float32("w", &[4, 3], &[0.5; 12])],
//!         input: vec![ValueInfoProto::float32("x", &[None, Some(4)])],
//!         output: vec![ValueInfoProto::float32("scores", &[None, Some(3)])],
//!         value_info: vec![ValueInfoProto::float32("logits", &[None, Some(3)])],
//!         ..GraphProto::default()
//!     }),
//!     ..ModelProto::default()
//! };
//!
//! let model = prepare(&model)?;
//! let facts = TensorFacts::from_model(&model);
//! let request = Differentiate {
//!     of: "scores",
//!     with_respect_to: &["x"],
//!     grad_output: GradOutput::Component(2),
//! };
//! let with_gradients = differentiate(&model, &facts, &request)?;
//!
//! let graph = with_gradients.graph.unwrap();
//! assert_eq!(graph.output[1].name(), "gradient/x"); // ∂scores[:, 2]/∂x, of shape [N, 4]
//! # Ok::<(), onnx_gradient::Error>(())
//! ```
//!
//! # Below the surface
//!
//! [`backward::backward`] writes the backward pass without placing it in a model. [`vjp::lookup`]
//! says whether an operator is covered, and [`vjp::TABLE`] lists those that are. [`passes`] can be
//! applied one by one, and [`builder::GraphBuilder`] and [`index::GraphIndex`] help to write and to
//! search graphs. [`proto`] is the ONNX schema.

pub mod backward;
pub mod builder;
pub mod dtype;
pub mod facts;
pub mod index;
pub mod node;
pub mod passes;
pub mod proto;
pub mod quantized;
pub mod reachability;
pub mod vjp;

mod differentiate;
mod error;

pub use differentiate::{Differentiate, GradOutput, differentiate, gradient_name, prepare};
pub use error::Error;
pub use facts::{ShapeProbe, TensorFacts, shape_probe};
/// Decodes and encodes the messages of [`proto`], by its trait `Message`.
pub use prost;

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
