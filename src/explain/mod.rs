//! The explanation methods: maths on arrays, one file each in [`methods`].
//!
//! A method reads a [`MethodContext`] (activation, gradients, and ways to run more passes) and
//! returns one map per [`ClassTarget`]. [`normalise`] scales a map to 0..1 and [`multi_layer`]
//! fuses the maps of several layers. Everything here blocks until its passes are done.

pub mod choice;
pub mod context;
pub mod mask_set;
pub mod math;
pub mod method;
pub mod methods;
pub mod multi_layer;
pub mod normalise;
pub mod parameters;
pub mod progress;
pub mod result;
pub mod rounding;
pub mod spec;
pub mod target;

pub use choice::Choice;
pub use context::MethodContext;
pub use math::gaussian_process::Confidence;
pub use method::Method;
pub use methods::table::METHODS;
pub use parameters::{Convention, MethodParameters, Normalization, ScoreKind};
pub use progress::ProgressObserver;
pub use result::{Explanation, Passes, Prediction, Predictions, Timing};
pub use spec::{MethodSpec, Needs};
pub use target::ClassTarget;
