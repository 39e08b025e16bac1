//! CPU kernels for explaining convolutional networks: fused convolution chains, depthwise
//! convolutions and their transposes, elementwise expressions, and matrix–vector products that skip
//! zeros.
//!
//! The kernels cover what a general inference runtime does slowly when it runs a backward pass, or
//! hundreds of masked forward passes:
//!
//! - [`ConvChain`] runs 3×3 convolutions with ReLU and max pooling. It uses Winograd's F(4×4, 3×3)
//!   (Lavin and Gray 2016, arXiv 1509.09308), needs no reorder between layers, and does not compute
//!   regions of the input that are zero.
//! - [`DepthwiseConv`] computes a depthwise convolution or its transpose, with elementwise
//!   arithmetic fused before and after it. NCHWc maps stay in their layout.
//! - [`Expression`] evaluates chains of elementwise operations in one pass over memory, and
//!   gradients of common activation functions in a single loop.
//! - [`gemv()`] and [`gemv_transposed`] multiply with large matrices without reading the rows and
//!   columns that meet zeros.
//!
//! All tensors are 32-bit floats. Each kernel is compiled for AVX-512F, AVX2 with FMA, NEON, and in
//! plain Rust; the fastest version that the processor supports is chosen at run time.
//!
//! The crate starts no threads of its own and reads no files: a caller lends its threads as an
//! [`Executor`] and passes slices. It knows nothing of model formats.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::AtomicBool;
//!
//! use camlens_kernels::{
//!     Batch, ChainOutput, ConvChain, ConvLayer, ConvWeights, RunOptions, Serial,
//! };
//!
//! // One layer: 3 channels to 1, every weight 1, then ReLU and 2×2 max pooling.
//! let weights = Arc::new(ConvWeights::new(&[1.0; 27], None, 1, 3)?);
//! let chain = ConvChain::new(vec![ConvLayer { weights, relu: true, max_pool: true }])?;
//!
//! let image = [1.0; 3 * 4 * 4];
//! let batch = Batch { data: &image, images: 1, height: 4, width: 4 };
//! let last = ChainOutput { layer: 0, pooled: true };
//! assert_eq!(chain.output_shape(last, 4, 4)?, [1, 2, 2]);
//!
//! let mut output = [0.0; 4];
//! let cancel = AtomicBool::new(false);
//! let options =
//!     RunOptions { cancel: &cancel, skip_zero_regions: true, equal_patches: false,
//!     settle_near_ties: None };
//! chain.run(batch, &mut [(last, &mut output)], &Serial, options)?;
//! // Each pooling window contains a position whose 3×3 neighbourhood lies inside the image.
//! assert_eq!(output, [27.0; 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unsafe code
//!
//! `unsafe` appears where vector intrinsics are called (`simd`), in the inner loops that take raw
//! pointers (`conv_chain::kernels`, `gemv`, `depthwise::correlate`, `depthwise::nchwc`), and where
//! tasks write disjoint parts of one slice. The public API is safe: it checks every length before a
//! kernel runs, in arithmetic that cannot wrap around, and answers with an error. The tests run
//! under AddressSanitizer and, with the loops in plain Rust, under Miri, too.

// Indices are made of sizes. One that was silently narrowed would point to another element.
#![deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod block16;
mod conv_chain;
mod depthwise;
mod elementwise;
mod error;
mod executor;
mod gemv;
mod rounding;
mod shared_mut;
mod simd;
mod sizes;

pub use block16::NCHWC_BLOCKS;
pub use conv_chain::{
    Batch, ChainOutput, ConvChain, ConvLayer, ConvWeights, Doubts, FloatBytes, RunError, RunOptions,
};
pub use depthwise::{DepthwiseConv, Direction, FeatureMaps, Window};
pub use elementwise::{BoundExpression, Expression, Op, Step, Tensor};
pub use error::InvalidArgument;
pub use executor::{Executor, ScopedThreads, Serial};
pub use gemv::{Matrix, gemv, gemv_transposed};
pub use simd::has_exact_int8_dot;
