//! Depthwise convolutions of NCHWc maps `[N, C/c, H, W, c]`, the layout of ONNX Runtime's own
//! convolutions.
//!
//! Every position is one vector, so neither stride nor edge breaks a vector up. A few input lines
//! at a time sit in a ring buffer, framed by zeros (`line_ring`); each output line is a weighted
//! sum of them (`row_kernel`). Prologue and epilogue run on these few lines, so only the input and
//! the output pass through memory.

mod conv;
mod line_ring;
mod row_kernel;

#[cfg(test)]
pub(super) use row_kernel::row_kernel_for;
