//! Feature maps in ONNX Runtime's NCHWc layout from end to end.
//!
//! The runtime's convolutions work on `[N, C/b, H, W, b]` with blocks of `b` channels, 8 or 16
//! depending on the CPU, and the runtime reorders feature maps wherever another operator stands
//! between two of them. The backward pass through depthwise convolutions is full of custom
//! operators, so feature maps would be reordered all the time, and its 1×1 convolutions would be
//! matrix products in the NCHW layout, which take twice as long. This pass writes what the runtime
//! would write, its operators of the domain `com.microsoft.nchwc`, forwards and backwards, and
//! between them custom operators, which accept both layouts.
//!
//! A tensor in NCHWc is still declared as `[N, C, H, W]`. Where channels do not fill their blocks,
//! the rest is zeros after a convolution, and whatever an operator computes from zeros after that;
//! filters have zeros for them.

mod convolutions;
mod detect;
mod filters;
mod pass;
mod scope;
mod writer;

pub(in crate::engine) use detect::detect_block;
pub(super) use pass::{fuse, opset};
pub(super) use scope::BLOCK_ATTRIBUTE;
