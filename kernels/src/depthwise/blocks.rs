//! The same convolutions where eight or sixteen channels lie side by side, as ONNX Runtime's own convolutions keep them:
//! maps `[N, C/L, H, W, L]` with L lanes.
//!
//! Every place is a vector, so neither stride nor edge disturbs one: a few lines of the source at a time stand in a frame of
//! zeros, in a ring, and each line of the result is a sum of those in it. What comes before and after is worked out on these
//! few lines, and nothing else is read or written but source and result.

use std::ops::Range;

mod sums;

pub(super) use sums::{Sum, sum_of};

use super::plan::Plan;
use super::{AT_ONCE, Depthwise};
use crate::elementwise::Inline;
use crate::lanes::Lanes;
use crate::pool::{Pool, Shared};
use crate::simd::Processor;
use sums::{Columns, Tap};

/// So many lines of a map are worth another thread's turn.
const ENOUGH_LINES: usize = 8;

impl Depthwise<'_> {
    /// Convolves maps in blocks of `lanes` channels, one of [`BLOCKS`], of which `input.channels` is a multiple:
    /// `[N, C/L, H, W, L]`, by weights `[C/L, kh, kw, L]`, into `output` `[N, C/L, h, w, L]`. Expressions see all of that as five
    /// dimensions.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, a stride or dilation is 0, channels do not fill their blocks, or there are
    /// no such blocks.
    ///
    /// [`BLOCKS`]: crate::BLOCKS
    pub fn run_in_blocks(&self, lanes: usize, output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        let sum = sum_of(Processor::detect(), lanes);
        let sum = sum.ok_or_else(|| format!("there are no blocks of {lanes} channels"))?;
        self.run_in_blocks_with((sum, lanes), output, threads)
    }

    pub(super) fn run_in_blocks_with(
        &self,
        (sum, lanes): (Sum, usize),
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let Self { input, before, weights, window, direction, size, after } = *self;
        let plan = Plan::new(window, direction, input.size, size)?;
        let [line, made] = [input.size[1], size[1]].map(|width| width * lanes);
        let (source, result) = (line * input.size[0], made * size[0]);
        let blocks = input.channels / lanes;
        if blocks == 0 || source == 0 || result == 0 {
            return if output.is_empty() { Ok(()) } else { Err("maps without numbers".into()) };
        }
        let read = before.map_or(input.data.len(), Inline::len);
        let maps = read / source;
        if !input.channels.is_multiple_of(lanes)
            || read != maps * source
            || !maps.is_multiple_of(blocks)
            || output.len() != maps * result
            || after.is_some_and(|after| after.len() != output.len())
            || weights.len() != blocks * plan.filter * lanes
        {
            return Err("a depthwise convolution's arrays are not as long as their shapes".into());
        }
        let many = 4 * threads.threads().max(1);
        let bands = many.div_ceil(maps).min(size[0].div_ceil(ENOUGH_LINES));
        let pieces = many.min(maps * bands);
        // Short lines are worked out several at once: an expression takes its time for every run.
        let together = AT_ONCE.div_ceil(made).min(size[0]);
        let output = Shared::new(output);
        threads.run(pieces, &|piece| {
            let mut frame = Frame::new(&plan, input.size, together, lanes);
            let (mut before, mut after) = (before.map(Inline::work), after.map(Inline::work));
            let mut lines = vec![0.0; if before.is_some() { frame.count * line } else { 0 }];
            let mut sums = vec![Lanes::ZERO; Lanes::blocks(together * made)];
            let sums = Lanes::numbers_mut(&mut sums);
            let mut taps = Vec::new();
            for band in maps * bands * piece / pieces..maps * bands * (piece + 1) / pieces {
                let (map, band) = (band / bands, band % bands);
                let filter = &weights[map % blocks * plan.filter * lanes..];
                frame.reset();
                let end = size[0] * (band + 1) / bands;
                for first in (size[0] * band / bands..end).step_by(together) {
                    let count = together.min(end - first);
                    frame.advance(&plan, first..first + count, |rows, place| {
                        let (from, to) = (map * source + rows.start * line, map * source + rows.end * line);
                        match &mut before {
                            Some(before) => {
                                let lines = &mut lines[..to - from];
                                before.run(from, &[], lines);
                                place(lines);
                            }
                            None => place(&input.data[from..to]),
                        }
                    });
                    for (y, sums) in (first..).zip(sums.chunks_exact_mut(made).take(count)) {
                        for part in 0..plan.axes[1].results.min(size[1]) {
                            frame.taps(&plan, y, part, filter, &mut taps);
                            let columns = Columns {
                                first: part,
                                step: plan.axes[1].results,
                                count: (size[1] - part).div_ceil(plan.axes[1].results),
                                source_step: plan.axes[1].sources,
                            };
                            // SAFETY: the frame is as long as the plan needs it for every column of the result.
                            unsafe { sum(sums, columns, &taps) };
                        }
                    }
                    let sums = &sums[..count * made];
                    let at = map * result + first * made;
                    // SAFETY: every band has lines of its own, inside the output.
                    let output =
                        unsafe { std::slice::from_raw_parts_mut(output.get().add(at), count * made) };
                    match &mut after {
                        Some(after) => after.run(at, sums, output),
                        None => output.copy_from_slice(sums),
                    }
                }
            }
        });
        Ok(())
    }
}

/// The lines of the source that are being looked at, each between zeros.
struct Frame {
    lines: Vec<Lanes>,
    /// Channels in a block.
    lanes: usize,
    /// How far from a row of the result lie the lines that it meets.
    offsets: Range<usize>,
    /// Numbers in a line with its zeros, and in the source's own.
    pitch: usize,
    width: usize,
    height: usize,
    /// How many lines there is room for. Line y stands at y modulo this.
    count: usize,
    /// The first that was not asked for yet.
    next: usize,
}

impl Frame {
    fn new(plan: &Plan, [height, width]: [usize; 2], together: usize, lanes: usize) -> Self {
        let [rows, columns] = &plan.axes;
        let all = rows.taps.iter().flatten().map(|&(_, part, offset)| offset * rows.sources + part);
        let offsets = all.clone().min().unwrap_or(0)..all.max().map_or(0, |last| last + 1);
        let count = (offsets.len() + (together - 1).div_ceil(rows.results) * rows.sources).min(height);
        let pitch = columns.len * columns.sources * lanes;
        let lines = vec![Lanes::ZERO; Lanes::blocks(pitch * count)];
        Self { lines, lanes, offsets, pitch, width: width * lanes, height, count, next: 0 }
    }

    /// Begins with another map.
    fn reset(&mut self) {
        self.next = 0;
    }

    /// The line of the source that a row of the result meets at an offset, unless that is a zero of the frame.
    fn source(&self, plan: &Plan, y: usize, (part, offset): (usize, usize)) -> Option<usize> {
        let rows = &plan.axes[0];
        let framed = (y / rows.results + offset) * rows.sources + part;
        framed.checked_sub(rows.before).filter(|&line| line < self.height)
    }

    /// Takes in what these rows of the result meet. `read` is asked for lines of the source that are not here yet, and hands
    /// them on.
    fn advance(
        &mut self,
        plan: &Plan,
        result: Range<usize>,
        mut read: impl FnMut(Range<usize>, &mut dyn FnMut(&[f32])),
    ) {
        let rows = &plan.axes[0];
        let framed =
            |y: usize, offset: usize| (y / rows.results * rows.sources + offset).saturating_sub(rows.before);
        let first = framed(result.start, self.offsets.start).max(self.next);
        let last = framed(result.end - 1, self.offsets.end).min(self.height);
        if first >= last {
            return;
        }
        self.next = last;
        let Self { lines, lanes, pitch, width, count, .. } = self;
        let lines = Lanes::numbers_mut(lines);
        read(first..last, &mut |numbers| {
            for (y, line) in (first..last).zip(numbers.chunks_exact(*width)) {
                lines[y % *count * *pitch + plan.axes[1].before * *lanes..][..*width].copy_from_slice(line);
            }
        });
    }

    /// What a row of the result is a sum of, at those of its columns that are a part of it.
    fn taps(&self, plan: &Plan, y: usize, part: usize, filter: &[f32], taps: &mut Vec<Tap>) {
        let [rows, columns] = &plan.axes;
        taps.clear();
        for &(row, row_part, row_offset) in &rows.taps[y % rows.results] {
            let Some(line) = self.source(plan, y, (row_part, row_offset)) else { continue };
            let line = &Lanes::numbers(&self.lines)[line % self.count * self.pitch..][..self.pitch];
            for &(column, column_part, offset) in &columns.taps[part] {
                let weight = (row * plan.kernel[1] + column) * self.lanes;
                let from = &line[(offset * columns.sources + column_part) * self.lanes..];
                taps.push((from.as_ptr(), filter[weight..].as_ptr()));
            }
        }
    }
}
