//! What a request means, independent of where it comes from. The HTTP service and the command line
//! (the edges) are both built on this module.
//!
//! An edge turns its input into names and texts. [`options`] defines what they may be, [`request`]
//! parses them into types, [`validate`] checks them, [`execute()`] runs the model and returns an
//! [`ExplainResponse`]. Nothing here knows HTTP or a terminal.

pub mod class_list;
pub mod comma_list;
pub mod cost;
pub mod describe;
pub mod execute;
pub mod explain;
mod explain_options;
pub mod instance;
mod layer_job;
pub mod operation;
pub mod options;
pub mod predict;
mod render;
pub mod request;
pub mod response;
pub mod validate;
mod warnings;

pub use cost::Cost;
pub use describe::{describe, output_kind};
pub use execute::{Explained, execute, execute_maps};
pub use explain::{compare, explain, explain_input};
pub use explain_options::ExplainOptions;
pub use instance::{Finding, Instance, InstanceContext};
pub use operation::Operation;
pub use predict::predict;
pub use request::{ExplainRequest, RequestOptions};
pub use response::ExplainResponse;
