//! TODO(words)

mod operator;
mod pass;

pub(crate) use operator::Depthwise;
pub(crate) use pass::*;
