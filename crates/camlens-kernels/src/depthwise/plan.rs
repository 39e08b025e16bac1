//! Where the numbers lie that a weight multiplies: the same for every channel.

use super::{Direction, Window};

/// A weight's place in the filter, and where what it multiplies lies in the source, seen from the
/// result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) weight: usize,
    pub(super) offset: usize,
}

/// One axis, whichever way: where the source's numbers go and where the result's come from.
#[derive(Debug)]
pub(super) struct Axis {
    /// Interleaved parts of the source, and of the result; one of both is 1.
    pub(super) sources: usize,
    pub(super) results: usize,
    /// Zeros before the first number of the source.
    pub(super) before: usize,
    /// The longest that a part of the framed source gets.
    pub(super) len: usize,
    /// For each part of the result: (place in the filter, part of the source, offset).
    pub(super) taps: Vec<Vec<(usize, usize, usize)>>,
}

impl Axis {
    fn new(
        window: Window,
        axis: usize,
        direction: Direction,
        source: usize,
        result: usize,
    ) -> Self {
        let [kernel, stride, dilation, pad] =
            [window.kernel, window.strides, window.dilations, window.pads].map(|of| of[axis]);
        match direction {
            Direction::There => {
                let taps = (0..kernel)
                    .map(|k| (k, k * dilation % stride, k * dilation / stride))
                    .collect();
                let framed =
                    (source + pad).max((result.max(1) - 1) * stride + (kernel - 1) * dilation + 1);
                Self {
                    sources: stride,
                    results: 1,
                    before: pad,
                    len: framed.div_ceil(stride),
                    taps: vec![taps],
                }
            }
            Direction::Back => {
                // Place y = stride·j + part of the result meets place o of the source where
                // o·stride + k·dilation = y + pad.
                let reach = (kernel - 1) * dilation;
                let before = reach.div_ceil(stride);
                let places = |part: usize| {
                    let seen = |k: usize| {
                        let steps = (before * stride + part + pad).checked_sub(k * dilation)?;
                        steps.is_multiple_of(stride).then_some((k, 0, steps / stride))
                    };
                    (0..kernel).filter_map(seen).collect::<Vec<_>>()
                };
                let taps: Vec<_> = (0..stride).map(places).collect();
                let farthest = taps.iter().flatten().map(|tap| tap.2).max().unwrap_or(0);
                let len = (before + source).max(result.div_ceil(stride) + farthest);
                Self { sources: 1, results: stride, before, len, taps }
            }
        }
    }
}

/// What is the same for every channel.
#[derive(Debug)]
pub(super) struct Plan {
    /// Rows and columns.
    pub(super) axes: [Axis; 2],
    /// For each part of the result, rows first.
    pub(super) taps: Vec<Vec<Tap>>,
    /// How many weights a filter has, and how many in a row and a column.
    pub(super) filter: usize,
    pub(super) kernel: [usize; 2],
}

impl Plan {
    pub(super) fn new(
        window: Window,
        direction: Direction,
        source: [usize; 2],
        result: [usize; 2],
    ) -> Result<Self, String> {
        let Window { kernel, strides, dilations, .. } = window;
        if [kernel, strides, dilations].concat().contains(&0) {
            return Err(format!("{window:?} is no window"));
        }
        let [rows, columns] =
            [0, 1].map(|axis| Axis::new(window, axis, direction, source[axis], result[axis]));
        let (pitch, part) = (columns.len, rows.len * columns.len);
        let mut taps = Vec::new();
        for in_rows in &rows.taps {
            for in_columns in &columns.taps {
                let both = in_rows
                    .iter()
                    .flat_map(|row| in_columns.iter().map(move |column| (row, column)));
                let tap = |(&(ky, part_y, y), &(kx, part_x, x)): (
                    &(usize, usize, usize),
                    &(usize, usize, usize),
                )| Tap {
                    weight: ky * kernel[1] + kx,
                    offset: (part_y * columns.sources + part_x) * part + y * pitch + x,
                };
                taps.push(both.map(tap).collect());
            }
        }
        Ok(Self { axes: [rows, columns], taps, filter: kernel[0] * kernel[1], kernel })
    }

    /// Numbers in the framed source, all its parts.
    pub(super) fn frame(&self) -> usize {
        let [rows, columns] = &self.axes;
        rows.sources * columns.sources * rows.len * columns.len
    }
}
