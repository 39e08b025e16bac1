//! ONNX Runtime, and nothing else in the crate names it.
//!
//! [`Models`] holds every model of the service; a [`Model`] runs a [`Pass`] on the
//! thread that owns its sessions and gives an [`Outcome`] of plain arrays. A
//! [`Cancel`] that travels along stops it between two kernels.

mod blocks;
mod cache;
mod cancel;
mod masked;
mod model;
mod operators;
mod probe;
mod programs;
mod registry;
mod runtime;
mod session;
mod settings;
mod tail;
mod worker;

pub use cache::{Cache, CacheUse};
pub use cancel::{Cancel, Reason};
pub use masked::{Answers, Scene, masked_passes};
pub use model::Model;
pub use registry::{Models, Status};
pub use session::{Outcome, Pass, predicted};
pub use settings::Settings;
pub use tail::Behind;
