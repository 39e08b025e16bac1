//! What ONNX Runtime computes more of than it must: chains of 3×3 convolutions, and products with zeros.
//!
//! A [`Chain`] runs convolutions of stride 1 and padding 1, each with its ReLU and
//! 2×2 pooling, one after another. It takes and gives ordinary `[N, C, H, W]`
//! arrays of 32-bit floats; between its links, maps stay in blocks of 16 channels
//! ([`Lanes`]), which is what the processor's vectors want. Two things make it
//! fast:
//!
//! - Winograd's algorithm needs a quarter of the multiplications (`winograd`).
//! - Where an image is zero, nothing is computed that zeros would not give anyway (`support`).
//!
//! [`product`] and [`product_transposed`] multiply with a matrix too large for any cache, as fast as the memory
//! gives it, and do not ask for what is multiplied by zero (`products`).
//!
//! A chain promises the convolution's result within a few parts in a million of its
//! largest value, for any size, any number of channels and any batch; that no thread but
//! the caller's [`Pool`] is used; and that raising the stop flag ends a run within
//! milliseconds. The crate knows nothing of ONNX.
//!
//! `unsafe` stands in `simd` (intrinsics), `loops` (pointers into shared
//! buffers) and where `stage`, `steps`, `layout` and `products` hand disjoint parts of a buffer to threads.

mod chain;
mod lanes;
mod layout;
mod loops;
mod pool;
mod products;
mod simd;
mod stage;
mod steps;
mod support;
mod weights;
mod winograd;

pub use chain::{Batch, Chain, Link, Settings, Tap};
pub use lanes::Lanes;
pub use pool::{Pool, Scoped, Serial};
pub use products::{Matrix, product, product_transposed};
pub use stage::Stopped;
pub use weights::Weights;
