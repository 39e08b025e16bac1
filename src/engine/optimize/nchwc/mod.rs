//! TODO(words)

mod convolutions;
mod detect;
mod filters;
mod pass;
mod writer;

pub(in crate::engine) use detect::kept;
pub(crate) use pass::*;
