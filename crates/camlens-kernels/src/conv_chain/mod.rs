//! Chains of 3×3 convolutions, run without leaving the blocked layout.
//!
//! A [`ConvChain`] takes and returns plain `[N, C, H, W]` arrays. Between its layers, maps stay in
//! blocks of 16 channels, which the vector units want, so no layer pays for a reorder. Three things
//! make it fast:
//!
//! - Winograd's F(4×4, 3×3) needs a quarter of the multiplications (`winograd`).
//! - Regions of the input that are zero are not computed: their output is the chain's response to
//!   an all-zero image, which is computed once and copied (`sparsity`).
//! - Small weights stay in a core's cache while tiles stream through it; large weights are read
//!   once for many tiles (`layer_run`).
//!
//! Modules, from the bottom up: `geometry` (map sizes and tiles), `winograd` (the transforms),
//! `kernels` (inner loops per instruction set), `weights` (packed filters), `sparsity` (which tiles
//! to compute), `repeats` (which patches are equal), `near_ties` (values too close to choose
//! between), `layer_task`, `winograd_task` and `layer_run` (one layer on a list of tiles), `run`
//! (one pass through the chain), `chain` (the public type).

mod buffers;
mod chain;
mod geometry;
mod kernels;
mod layer_run;
mod layer_task;
mod near_ties;
mod reorder;
mod repeats;
mod run;
mod sparsity;
mod types;
mod weights;
mod winograd;
mod winograd_task;

pub use chain::ConvChain;
pub use types::{Batch, ChainOutput, ConvLayer, Doubts, FloatBytes, RunError, RunOptions};
pub use weights::ConvWeights;
