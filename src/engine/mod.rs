//! ONNX Runtime, and nothing else in the crate names it.
//!
//! [`ModelRegistry`] holds every model of the service; a [`Model`] runs a [`PassRequest`] on the
//! thread that owns its sessions and gives an [`PassOutput`] of plain arrays. A
//! [`CancellationToken`] that travels along stops it between two kernels.

mod cache;
mod cancel;
mod masked;
mod model;
pub mod optimize;
mod probe;
mod programs;
mod registry;
mod runtime;
mod session;
mod settings;
mod tail;
mod worker;

pub use cache::{Cache, CacheUse};
pub use cancel::{CancellationToken, Reason};
pub use masked::{MaskedPasses, PassScores};
pub use model::Model;
pub use registry::{ModelRegistry, Status};
pub use session::{PassOutput, PassRequest, predicted};
pub use settings::Settings;
pub use tail::TailRunner;
