//! The explanation methods: maths on arrays, one file each in [`methods`].
//!
//! A method reads a [`MethodContext`] (activation, gradients, and ways to run more passes) and
//! returns one map per [`ClassTarget`]. [`normalise`] brings a map to 0..1 and [`multi_layer`]
//! fuses the maps of several layers. Everything here blocks until its passes are done.

pub mod choice;
pub mod class_list;
pub mod context;
mod job;
pub mod math;
pub mod method;
pub mod methods;
pub mod multi_layer;
pub mod names;
pub mod normalise;
pub mod options;
pub mod parameters;
mod possible;
mod predict;
pub mod progress;
pub mod result;
mod run;
pub mod spec;
pub mod target;

pub use choice::Choice;
pub use context::MethodContext;
pub use job::targets;
pub use math::gaussian_process::Confidence;
pub use method::Method;
pub use methods::table::METHODS;
pub use options::Options;
pub use parameters::{Convention, MethodParameters, Normalization, ScoreKind};
pub use predict::predict;
pub use progress::ProgressObserver;
pub use result::{Explanation, Passes, Prediction, Predictions, Timing};
pub use run::{compare, explain, explain_input};
pub use spec::{MethodSpec, Needs};
pub use target::ClassTarget;
