//! Chains of 3×3 convolutions, computed by Winograd's algorithm.
//!
//! Convolutions of 3×3 with stride 1 and padding 1 that follow each other, with nothing but ReLU and
//! 2×2 max-pooling between them, become one node. The pass finds them, the operator runs them with
//! `camlens-kernels`.

mod operator;
pub(super) mod pass;

pub(super) use operator::ConvChain;
pub(super) use pass::fuse;
