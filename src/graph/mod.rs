//! ONNX graphs as data: nothing here runs a model.
//!
//! [`PreparedModel`](prepared::PreparedModel) brings a model file into one dialect. The engine
//! measures it, and [`AnalysedModel`](analysed::AnalysedModel) adds what the other modules need to
//! know: the classifier's [`head`] and its [`layers`], and which of them have a gradient.
//! [`explain_graph`] writes the graph that the engine runs for a layer, and [`tail`] cuts out the
//! part of the model after a layer. [`export_graph`] writes the one that leaves the process. The
//! gradients themselves come from `onnx_gradient`.

pub mod analysed;
mod averaging;
pub mod explain_graph;
pub mod export_graph;
mod gradient_error;
pub mod head;
pub mod image_input;
pub mod layers;
pub mod prepared;
pub mod program_io;
mod seed;
pub mod tail;
mod training_mode;
pub mod unused;
