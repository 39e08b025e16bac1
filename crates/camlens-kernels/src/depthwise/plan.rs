//! Where the inputs that a weight multiplies lie in a framed map. The plan is the same for every
//! channel.
//!
//! Strides are handled by interleaved phases. Forward, the input is split into `stride` phases per
//! axis: phase p holds the elements p, p + stride, p + 2·stride, … of the framed input, so that a
//! tap reads adjacent elements of one phase. Transposed, the output is computed in `stride` phases,
//! each with the taps that reach it.

use super::conv::wrong_lengths;
use super::types::{Direction, Window};
use crate::error::InvalidArgument;
use crate::sizes::product;

/// A tap of the filter: its weight's index, and where what it multiplies lies in the framed input,
/// relative to the output position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) weight: usize,
    pub(super) offset: usize,
}

/// A tap along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisTap {
    /// Index along the filter's axis.
    pub(super) index: usize,
    /// Phase of the input that it reads.
    pub(super) phase: usize,
    /// Offset in that phase.
    pub(super) offset: usize,
}

/// One axis of the plan.
#[derive(Debug)]
pub(super) struct AxisPlan {
    /// Phases of the input and of the output; one of the two is 1.
    pub(super) in_phases: usize,
    pub(super) out_phases: usize,
    /// Zeros before the first element of the input.
    pub(super) pad_before: usize,
    /// Length of the longest phase of the framed input.
    pub(super) len: usize,
    /// The taps, for each phase of the output.
    pub(super) taps: Vec<Vec<AxisTap>>,
}

/// Largest sizes, strides, dilations and pads. No sum of products of two of them overflows 64 bits.
const MAX_SIZE: usize = 1 << 30;

/// Most elements of a framed channel: each thread allocates one.
const MAX_FRAME_LEN: usize = 1 << 28;

impl AxisPlan {
    /// The caller has checked that every size is at most [`MAX_SIZE`], and that kernel, stride and
    /// dilation are at least 1.
    fn new(
        window: Window,
        axis: usize,
        direction: Direction,
        in_len: usize,
        out_len: usize,
    ) -> Self {
        let [kernel, stride, dilation, pad] =
            [window.kernel, window.strides, window.dilations, window.pads].map(|of| of[axis]);
        let reach = (kernel - 1) * dilation;
        match direction {
            Direction::Forward => {
                let framed = (in_len + pad).max((out_len.max(1) - 1) * stride + reach + 1);
                // A stride past the frame's end is never taken.
                let stride = stride.min(framed);
                let tap = |k: usize| AxisTap {
                    index: k,
                    phase: k * dilation % stride,
                    offset: k * dilation / stride,
                };
                Self {
                    in_phases: stride,
                    out_phases: 1,
                    pad_before: pad,
                    len: framed.div_ceil(stride),
                    taps: vec![(0..kernel).map(tap).collect()],
                }
            }
            Direction::Transposed => {
                // Output element y = stride·j + phase reads input element o where
                // o·stride + k·dilation = y + pad.
                let pad_before = reach.div_ceil(stride);
                let taps_of = |phase: usize| {
                    let tap = |k: usize| {
                        let steps =
                            (pad_before * stride + phase + pad).checked_sub(k * dilation)?;
                        steps.is_multiple_of(stride).then_some(AxisTap {
                            index: k,
                            phase: 0,
                            offset: steps / stride,
                        })
                    };
                    (0..kernel).filter_map(tap).collect::<Vec<_>>()
                };
                // The phases past the output's end have no element.
                let out_phases = stride.min(out_len.max(1));
                let taps: Vec<_> = (0..out_phases).map(taps_of).collect();
                let farthest = taps.iter().flatten().map(|tap| tap.offset).max().unwrap_or(0);
                let len = (pad_before + in_len).max(out_len.div_ceil(stride) + farthest);
                Self { in_phases: 1, out_phases, pad_before, len, taps }
            }
        }
    }
}

/// What every channel has in common.
#[derive(Debug)]
pub(super) struct Plan {
    /// Rows and columns.
    pub(super) axes: [AxisPlan; 2],
    /// The taps, for each phase of the output, row phases outermost.
    pub(super) taps: Vec<Vec<Tap>>,
    /// Weights in a filter.
    pub(super) filter: usize,
    /// Height and width of the filter.
    pub(super) kernel: [usize; 2],
}

impl Plan {
    /// The plan for filters of `filter` weights each.
    ///
    /// # Errors
    /// When the kernel has another number of weights; a kernel size, stride or dilation is 0; a
    /// size is too large.
    pub(super) fn new(
        window: Window,
        direction: Direction,
        filter: usize,
        in_size: [usize; 2],
        out_size: [usize; 2],
    ) -> Result<Self, InvalidArgument> {
        let Window { kernel, strides, dilations, pads } = window;
        if [kernel, strides, dilations].concat().contains(&0) {
            return Err(InvalidArgument::new(format!(
                "kernel sizes, strides and dilations must be at least 1: {window:?}"
            )));
        }
        let sizes = [kernel, strides, dilations, pads, in_size, out_size];
        if sizes.as_flattened().iter().any(|&size| size > MAX_SIZE) {
            return Err(InvalidArgument::new(format!(
                "sizes of more than {MAX_SIZE}: {window:?}, {in_size:?} to {out_size:?}"
            )));
        }
        // Before the taps are listed, because the weights, at least, exist.
        if product(&kernel)? != filter {
            return Err(wrong_lengths());
        }
        let [rows, columns] = [0, 1]
            .map(|axis| AxisPlan::new(window, axis, direction, in_size[axis], out_size[axis]));
        let frame = product(&[rows.in_phases, columns.in_phases, rows.len, columns.len]);
        if !frame.is_ok_and(|len| len <= MAX_FRAME_LEN) {
            return Err(InvalidArgument::new(format!(
                "a channel of {in_size:?} with its padding has more than {MAX_FRAME_LEN} elements: \
                 {window:?}"
            )));
        }
        let (pitch, phase_len) = (columns.len, rows.len * columns.len);
        let mut taps = Vec::new();
        for row_taps in &rows.taps {
            for column_taps in &columns.taps {
                let pairs = row_taps
                    .iter()
                    .flat_map(|row| column_taps.iter().map(move |column| (row, column)));
                let tap = |(row, column): (&AxisTap, &AxisTap)| Tap {
                    weight: row.index * kernel[1] + column.index,
                    offset: (row.phase * columns.in_phases + column.phase) * phase_len
                        + row.offset * pitch
                        + column.offset,
                };
                taps.push(pairs.map(tap).collect());
            }
        }
        Ok(Self { axes: [rows, columns], taps, filter, kernel })
    }

    /// Elements of the framed input, over all phases.
    pub(super) fn frame_len(&self) -> usize {
        let [rows, columns] = &self.axes;
        rows.in_phases * columns.in_phases * rows.len * columns.len
    }
}
