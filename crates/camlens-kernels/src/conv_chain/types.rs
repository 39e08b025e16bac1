//! The public types that describe a chain and a run of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::geometry::MapSize;
use super::weights::ConvWeights;
use crate::error::InvalidArgument;

/// One layer of a chain: a convolution, then an optional ReLU, then an optional max pooling.
#[derive(Clone)]
pub struct ConvLayer {
    /// The convolution: 3×3, stride 1, padding 1.
    pub weights: Arc<ConvWeights>,
    /// Apply `max(0, x)` to the convolution's output.
    pub relu: bool,
    /// Apply 2×2 max pooling with stride 2 after the ReLU. An odd last row or column is dropped.
    pub max_pool: bool,
}

impl ConvLayer {
    /// The size of the layer's output, for a convolution of this size.
    pub(super) fn output_size(&self, size: MapSize) -> MapSize {
        if self.max_pool { size.pooled() } else { size }
    }
}

/// A tensor of a chain that the caller requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainOutput {
    /// Index of the layer.
    pub layer: usize,
    /// Whether to take the tensor after the layer's max pooling or before it. Both are the same
    /// tensor where the layer has none.
    pub pooled: bool,
}

/// A batch of images, `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The values, row-major.
    pub data: &'a [f32],
    /// N.
    pub images: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

/// Options of one run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    /// Set to true from any thread to cancel the run; it is read between two tasks.
    pub cancel: &'a AtomicBool,
    /// Copy the output of all-zero input regions from the chain's response to a zero image rather
    /// than compute it. The first run at an image size with such regions computes that response.
    pub skip_zero_regions: bool,
    /// Give positions with exactly equal input patches exactly equal outputs, as direct convolution
    /// does; without it they may differ in the last digit. Max pooling then finds the first of
    /// several equal values where the caller looks for its indices. Costs under 1 % of a run.
    pub equal_patches: bool,
    /// The filters of every layer, those that [`ConvWeights::new`] took, to compute values again whose
    /// order matters and is in doubt: where the largest values of a max pooling's window differ by
    /// less than the kernels' error and the caller reads the pooling's input, those values are
    /// sums in 64 bits, rounded once. `None` leaves them as they are. Costs a few per cent of a
    /// run whose every pooling is looked at.
    pub settle_near_ties: Option<&'a [&'a [FloatBytes]]>,
}

/// What rounding left in doubt in the layers whose near ties were settled
/// ([`RunOptions::settle_near_ties`]). Other layers are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Values of pooling windows that were computed again in 64 bits.
    pub settled: usize,
    /// The pooling windows that those values belong to. They are settled for this input, but the
    /// rounding of earlier layers is in it.
    pub near_ties: usize,
    /// Outputs of a ReLU that lie above 0 by less than the kernels' error, and by symmetry as many
    /// lie below: exact arithmetic may open or close those gates of the gradient the other way.
    pub open_gates: usize,
}

/// A 32-bit float in the machine's order of bytes. Filters are passed so because a mapped file may
/// hold them at any address, and a `&[f32]` must be aligned.
pub type FloatBytes = [u8; 4];

/// A run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cancelled;

/// Why a run has no output. The output slices hold unspecified values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The run's cancel flag was set.
    Cancelled,
    /// The arguments do not fit the chain or each other; nothing was computed.
    Invalid(InvalidArgument),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the run was cancelled"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<Cancelled> for RunError {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<InvalidArgument> for RunError {
    fn from(error: InvalidArgument) -> Self {
        Self::Invalid(error)
    }
}

impl From<RunError> for String {
    fn from(error: RunError) -> Self {
        error.to_string()
    }
}
