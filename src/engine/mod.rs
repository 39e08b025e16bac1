//! Runs models. No other module uses ONNX Runtime directly.
//!
//! Each step of the pipeline is a type: an `OnnxFile` becomes an
//! [`AnalysedModel`](crate::graph::analysed), the compiler writes `CompiledProgram`s from it, and
//! each of these runs in a `ProgramSession`. [`ModelRegistry`] holds every model of the service. A
//! [`Model`] runs a [`PassRequest`] on the thread that owns its sessions and returns a
//! [`PassOutput`] of plain arrays; a small one also has sessions in which passes run side by side.
//! A [`CancellationToken`] stops a pass between two kernels, and [`Turns`] decides whose runs next.

mod cache;
mod cancellation;
mod compiler;
mod entries;
mod fingerprint;
mod loader;
mod masked;
mod model;
pub mod optimize;
mod plain;
mod probe;
mod recent_mean;
mod registry;
mod reload;
mod runtime;
mod session;
mod settings;
mod side_sessions;
mod tail;
pub mod trial;
mod trials;
mod turns;
mod weights;
mod worker;

pub use cache::{Cache, CacheStats};
pub use cancellation::{CancellationToken, Reason};
pub use masked::{MaskedPasses, PassScores};
pub use model::Model;
pub use plain::PlainSession;
pub use registry::{ModelRegistry, Status, failure};
pub use reload::ReloadReport;
pub use runtime::keep_runtime_silent;
pub use session::{PassOutput, PassRequest, predicted};
pub use settings::{Settings, TrialPolicy};
pub use tail::TailRunner;
pub use turns::{InWork, JobClass, Turns};
