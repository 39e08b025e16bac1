//! TODO(words)

mod operator;
mod pass;

pub(crate) use operator::ConvolutionChain;
pub(crate) use pass::*;
