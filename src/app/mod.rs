//! What a request means, whichever edge it comes from. The HTTP service and the command line both
//! stand on it.

pub mod class_list;
pub mod comma_list;
mod job;
mod possible;
mod predict;
mod run;

pub use job::targets;
pub use predict::predict;
pub use run::{compare, explain, explain_input};
