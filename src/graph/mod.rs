//! ONNX as data: reading and writing the protobuf, finding layers, building the backward pass.
//!
//! Nothing here runs a model. A [`file::OnnxFile`] is read, [`prepare::Prepared`]
//! brings it into one dialect, [`probe`] asks the runtime for shapes,
//! [`layers`] finds what can be explained, [`score`] finds the logits, and
//! [`program`] writes the graph that the engine runs: forward pass, activation and
//! gradient in one, the gradient by the rules in [`gradient`].

pub mod fast;
pub mod file;
pub mod fused;
pub mod gradient;
pub mod inline;
pub mod layers;
pub mod node;
pub mod prepare;
pub mod probe;
pub mod program;
pub mod proto;
pub mod quantized;
pub mod score;
pub mod tail;
pub mod topology;
pub mod types;
pub mod upgrade;
