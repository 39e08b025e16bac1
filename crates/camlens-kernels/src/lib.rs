//! What ONNX Runtime takes longer for than it must: chains of 3×3 convolutions, products with
//! zeros, and what a backward pass is made of.
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
//! [`product`] and [`product_transposed`] multiply with a matrix too large for any cache, as fast
//! as the memory gives it, and do not ask for what is multiplied by zero (`products`).
//!
//! An [`Expression`] is elementwise arithmetic in one go: each input is read once, whatever is done
//! with it (`elementwise`). [`Depthwise`] convolves every channel with its own filter, or carries a
//! gradient back through that, and works out expressions on what it reads and makes while that is
//! in the cache (`depthwise`). Both take maps in blocks of [`BLOCKS`] channels, too.
//!
//! A chain promises the convolution's result within a few parts in a million of its
//! largest value, for any size, any number of channels and any batch; that no thread but
//! the caller's [`Pool`] is used; and that raising the stop flag ends a run within
//! milliseconds. The crate knows nothing of ONNX.
//!
//! `unsafe` stands in `simd` (intrinsics), `loops` and `depthwise` (pointers into shared
//! buffers), `lanes`, and where the others hand disjoint parts of a buffer to threads.

mod chain;
mod depthwise;
mod elementwise;
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
pub use depthwise::{Depthwise, Direction, Maps, Window};
pub use elementwise::{Expression, Inline, Op, Step, Tensor};
pub use lanes::Lanes;
pub use pool::{Pool, Scoped, Serial};
pub use products::{Matrix, product, product_transposed};
pub use simd::sums_bytes_exactly;
pub use stage::Stopped;
pub use weights::Weights;

/// How many channels a block may hold where a kernel takes maps in blocks: ONNX Runtime's
/// convolutions keep 16 together on processors with AVX-512, and 8 on others.
pub const BLOCKS: [usize; 2] = [8, 16];
