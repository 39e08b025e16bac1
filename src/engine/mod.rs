//! ONNX Runtime, and nothing else in the crate names it.

mod cancel;
mod model;
mod registry;
mod settings;

pub use cancel::{Cancel, Reason};
pub use model::Model;
pub use registry::{Models, Status};
pub use settings::Settings;
