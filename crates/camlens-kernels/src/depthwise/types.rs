//! The public types that describe a depthwise convolution.

/// How a filter moves over a map; each pair is `[rows, columns]`.
///
/// Only the padding before the first row and column is given: the padding after the last follows
/// from the sizes of both maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size of the filter, kh and kw.
    pub kernel: [usize; 2],
    /// Distance between two positions of the filter, in elements of the map.
    pub strides: [usize; 2],
    /// Distance between two taps of the filter, in elements of the map.
    pub dilations: [usize; 2],
    /// Zeros before the first row and column.
    pub pads: [usize; 2],
}

/// Which of a convolution's two linear maps to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The convolution.
    Forward,
    /// Its transpose, which maps the gradient of its output to the gradient of its input.
    Transposed,
}

/// Input maps, `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct FeatureMaps<'a> {
    /// The values, row-major. N follows from the length.
    pub data: &'a [f32],
    /// C.
    pub channels: usize,
    /// H and W.
    pub size: [usize; 2],
}

/// Fewest elements per evaluation of a prologue or epilogue: each evaluation has a fixed cost.
pub(super) const MIN_EVALUATION_LEN: usize = 1024;
