//! Depthwise convolutions and their transposes: every channel has its own filter, so there is no
//! matrix product to use.
//!
//! `[N, C, H, W]` maps are convolved one channel at a time (`conv`). The channel is copied into a
//! frame of zeros and split by the stride, so that the values that one weight multiplies are
//! adjacent. The channel is then one long row, and the convolution a sum of that row at a few
//! offsets, each times a weight. What the row holds between two lines is computed and discarded.
//!
//! NCHWc maps are convolved a few lines at a time, with a channel block per vector (`nchwc`).
//!
//! The transposed convolution ([`Direction::Transposed`]) carries a gradient back. Each of the
//! output positions that one step of the stride covers is such a sum by itself (`plan`).

mod conv;
mod correlate;
mod nchwc;
mod plan;
mod plane_scratch;
#[cfg(test)]
mod tests;
mod types;

pub use conv::DepthwiseConv;
pub use types::{Direction, FeatureMaps, Window};
