//! TODO(words)

mod loop_body;
mod operator;
mod pass;

pub(crate) use operator::*;
pub(crate) use pass::*;
