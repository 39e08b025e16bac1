//! Graph passes that bring a model into the one dialect that the vector–Jacobian products know.

pub mod constants;
pub mod decompose;
pub mod free_batch;
pub mod inline_functions;
pub mod io_types;
pub mod opset_upgrade;
pub mod qdq;
