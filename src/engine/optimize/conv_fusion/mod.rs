//! TODO(words)

mod operator;
mod pass;

pub(crate) use operator::*;
pub(crate) use pass::*;
