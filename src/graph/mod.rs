//! ONNX as data: reading and writing the protobuf, finding layers, building the backward pass.
//!
//! Nothing here runs a model. A [`file::OnnxFile`] is read, [`prepare::PreparedModel`]
//! brings it into one dialect, [`probe`] asks the runtime for shapes,
//! [`layers`] finds what can be explained, [`score`] finds the logits, and
//! [`program`] writes the graph that the engine runs: forward pass, activation and
//! gradient in one, the gradient by the rules in [`gradient`].

pub mod explain_graph;
pub mod head;
pub mod image_input;
pub mod layers;
pub mod prepared;
pub mod tail;
