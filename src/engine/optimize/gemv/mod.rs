//! TODO(words)

mod operator;
mod pass;

pub(crate) use operator::LargeProduct;
pub(crate) use pass::*;
