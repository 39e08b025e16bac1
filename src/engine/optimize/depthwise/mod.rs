//! Depthwise convolutions of the backward pass.
//!
//! A depthwise convolution has one filter per channel, so it contains no matrix product. ONNX
//! Runtime's `ConvTranspose` computes one for each channel all the same, and its `Conv` has a fast
//! kernel only in its own layout, which would mean copying every feature map of a backward pass.

mod operator;
pub(super) mod pass;

pub(super) use operator::Depthwise;
pub(super) use pass::{OPERATOR, fuse, is_output_with_one_consumer};
