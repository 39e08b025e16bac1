//! Graph passes that bring a model into the form that the vector–Jacobian products cover.
//!
//! [`crate::prepare`] applies those that a gradient needs, in order. The others are for programs
//! that feed images to classifiers, whatever their exporters did: [`io_types`] makes inputs and
//! outputs float32 tensors, [`free_batch`] frees a batch dimension that was fixed at export.
//!
//! Tensors that a pass adds are named after a tensor of the model, so names stay unique and
//! recognisable. Where a pass takes a `scope`, their names start with or contain it.

pub mod constants;
pub mod decompose;
pub mod free_batch;
pub mod inline_functions;
pub mod io_types;
pub mod opset_upgrade;
pub mod qdq;
