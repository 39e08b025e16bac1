//! Prologues and epilogues: elementwise arithmetic that a depthwise convolution does on its input
//! and on its output while the elements are in the cache.

mod operator;
mod pass;

pub(super) use operator::FusedExpressions;
pub(super) use pass::{PROLOGUE_INPUTS, fuse};
