//! Convolutions between a dequantisation and a quantisation, as one `QLinearConv`.
//!
//! In the QDQ format of ONNX Runtime's quantiser a convolution stands between `DequantizeLinear`
//! and `QuantizeLinear`. Together they are one `QLinearConv`, whose integer kernels take a fraction
//! of the time. The runtime would fuse them itself, but it aborts where a backward pass reads in
//! between. This pass computes floats that another node reads in addition, so every program of a
//! model gives the same scores.
//!
//! In integers the sum is exact and in floats nearly so: a value within rounding of the middle
//! between two integers may become the other one. The runtime's own fusion does the same. On CPUs
//! whose kernels saturate sums of products with signed weights, the pass shifts the weights to
//! unsigned ones with another zero point, for which the kernels are exact.

mod pass;

pub(super) use pass::fuse;
