//! The same convolutions where eight or sixteen channels lie side by side, as ONNX Runtime's own
//! convolutions keep them: maps `[N, C/L, H, W, L]` with L lanes.
//!
//! Every place is a vector, so neither stride nor edge disturbs one: a few lines of the source at a
//! time stand in a frame of zeros, in a ring, and each line of the result is a sum of those in it.
//! What comes before and after is worked out on these few lines, and nothing else is read or
//! written but source and result.

use std::ops::Range;

mod sums;

pub(super) use sums::{Sum, sum_of};

use super::plan::Plan;
use super::{AT_ONCE, Depthwise};
use crate::elementwise::Inline;
use crate::lanes::Lanes;
use crate::pool::{Pool, Shared, share};
use crate::simd::Processor;
use sums::{Columns, Row};

/// So many lines of a map are worth another thread's turn.
const ENOUGH_LINES: usize = 8;

impl Depthwise<'_> {
    /// Convolves maps in blocks of `lanes` channels, one of [`BLOCKS`], of which `input.channels`
    /// is a multiple: `[N, C/L, H, W, L]`, by weights `[C/L, kh, kw, L]`, into `output` `[N,
    /// C/L, h, w, L]`. Expressions see all of that as five dimensions.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, a stride or dilation is 0, channels do not
    /// fill their blocks, or there are no such blocks.
    ///
    /// [`BLOCKS`]: crate::BLOCKS
    pub fn run_in_blocks(
        &self,
        lanes: usize,
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
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
        let bands =
            (2 * threads.threads().max(1)).div_ceil(maps).min(size[0].div_ceil(ENOUGH_LINES));
        // Short lines are worked out several at once: an expression takes its time for every run.
        let together = AT_ONCE.div_ceil(made).min(size[0]);
        let columns = Columns::of(&plan.axes[1], size[1], lanes);
        let output = Shared::new(output);
        let work = || {
            let frame = Frame::new(&plan, input.size, together, lanes);
            let lines = vec![0.0; if before.is_some() { frame.count * line } else { 0 }];
            let sums = vec![Lanes::ZERO; Lanes::blocks(together * made)];
            (frame, Vec::new(), before.map(Inline::work), after.map(Inline::work), lines, sums)
        };
        share(threads, maps * bands, maps * bands, work, |work, band| {
            let (frame, rows, before, after, lines, sums) = work;
            let (map, band) = (band / bands, band % bands);
            let filter = &weights[map % blocks * plan.filter * lanes..][..plan.filter * lanes];
            let end = size[0] * (band + 1) / bands;
            frame.reset();
            for first in (size[0] * band / bands..end).step_by(together) {
                let count = together.min(end - first);
                frame.advance(&plan, first..first + count, |asked, place| {
                    let [from, to] = [asked.start, asked.end].map(|y| map * source + y * line);
                    match before {
                        Some(before) => {
                            let lines = &mut lines[..to - from];
                            before.run(from, &[], lines);
                            place(lines);
                        }
                        None => place(&input.data[from..to]),
                    }
                });
                let sums = &mut Lanes::numbers_mut(sums)[..count * made];
                for (y, sums) in (first..).zip(sums.chunks_exact_mut(made)) {
                    frame.rows(&plan, y, filter, rows);
                    for columns in &columns {
                        // SAFETY: the frame is as long as the plan needs it for every column of the
                        // result.
                        unsafe { sum(sums, columns, rows) };
                    }
                }
                let at = map * result + first * made;
                // SAFETY: every band has lines of its own, inside the output.
                let output =
                    unsafe { std::slice::from_raw_parts_mut(output.get().add(at), count * made) };
                match after {
                    Some(after) => after.run(at, sums, output),
                    None => output.copy_from_slice(sums),
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
    /// How many lines there is room for, a power of two. Line y stands at y modulo this.
    count: usize,
    /// The first that was not asked for yet.
    next: usize,
}

impl Frame {
    fn new(plan: &Plan, [height, width]: [usize; 2], together: usize, lanes: usize) -> Self {
        let [rows, columns] = &plan.axes;
        let all = rows.taps.iter().flatten().map(|&(_, part, offset)| offset * rows.sources + part);
        let offsets = all.clone().min().unwrap_or(0)..all.max().map_or(0, |last| last + 1);
        let count =
            (offsets.len() + (together - 1).div_ceil(rows.results) * rows.sources).min(height);
        let count = count.next_power_of_two();
        let pitch = columns.len * columns.sources * lanes;
        let lines = vec![Lanes::ZERO; Lanes::blocks(pitch * count)];
        Self { lines, lanes, offsets, pitch, width: width * lanes, height, count, next: 0 }
    }

    /// Begins with another map.
    fn reset(&mut self) {
        self.next = 0;
    }

    /// Where a line of the source stands.
    const fn place(&self, line: usize) -> usize {
        (line & (self.count - 1)) * self.pitch
    }

    /// Takes in what these rows of the result meet. `read` is asked for lines of the source that
    /// are not here yet, and hands them on.
    fn advance(
        &mut self,
        plan: &Plan,
        result: Range<usize>,
        mut read: impl FnMut(Range<usize>, &mut dyn FnMut(&[f32])),
    ) {
        let rows = &plan.axes[0];
        let framed = |y: usize, offset: usize| {
            (y / rows.results * rows.sources + offset).saturating_sub(rows.before)
        };
        let first = framed(result.start, self.offsets.start).max(self.next);
        let last = framed(result.end - 1, self.offsets.end).min(self.height);
        if first >= last {
            return;
        }
        self.next = last;
        read(first..last, &mut |numbers| {
            for (y, line) in (first..last).zip(numbers.chunks_exact(self.width)) {
                let place = self.place(y) + plan.axes[1].before * self.lanes;
                Lanes::numbers_mut(&mut self.lines)[place..][..self.width].copy_from_slice(line);
            }
        });
    }

    /// The lines that a row of the result meets, each with the row of the filter that it meets
    /// there.
    fn rows(&self, plan: &Plan, y: usize, filter: &[f32], met: &mut Vec<Row>) {
        let (rows, width) = (&plan.axes[0], plan.kernel[1] * self.lanes);
        let lines = Lanes::numbers(&self.lines);
        let (first, result) = (y / rows.results, y % rows.results);
        met.clear();
        for &(row, part, offset) in &rows.taps[result] {
            let framed = (first + offset) * rows.sources + part;
            // Others are zeros of the frame.
            if let Some(line) = framed.checked_sub(rows.before).filter(|&line| line < self.height) {
                let line = &lines[self.place(line)..][..self.pitch];
                met.push((line.as_ptr(), filter[row * width..][..width].as_ptr()));
            }
        }
    }
}
