//! The same convolutions where sixteen channels lie side by side, as ONNX Runtime's own convolutions keep them:
//! maps `[N, C/16, H, W, 16]`.
//!
//! Every place is a vector, so neither stride nor edge disturbs one: a few lines of the source at a time stand in a frame of
//! zeros, in a ring, and each line of the result is a sum of those in it. What comes before and after is worked out on these
//! few lines, and nothing else is read or written but source and result.

use std::ops::Range;

use super::plan::Plan;
use super::{AT_ONCE, Depthwise};
use crate::elementwise::Inline;
use crate::lanes::Lanes;
use crate::pool::{Pool, Shared};
use crate::simd::{Portable, Processor, Simd};

/// So many lines of a map are worth another thread's turn.
const ENOUGH_LINES: usize = 8;

impl Depthwise<'_> {
    /// Convolves maps in blocks of [`Lanes::COUNT`] channels, of which `input.channels` is a multiple: `[N, C/16, H, W, 16]`, by
    /// weights `[C/16, kh, kw, 16]`, into `output` `[N, C/16, h, w, 16]`. Expressions see all of that as five dimensions.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, a stride or dilation is 0, or channels do not fill their blocks.
    pub fn run_in_blocks(&self, output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        self.run_in_blocks_with(sum_of(Processor::detect()), output, threads)
    }

    pub(super) fn run_in_blocks_with(
        &self,
        sum: Sum,
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let Self { input, before, weights, window, direction, size, after } = *self;
        let plan = Plan::new(window, direction, input.size, size)?;
        let [line, made] = [input.size[1], size[1]].map(|width| width * Lanes::COUNT);
        let (source, result) = (line * input.size[0], made * size[0]);
        let blocks = input.channels / Lanes::COUNT;
        if blocks == 0 || source == 0 || result == 0 {
            return if output.is_empty() { Ok(()) } else { Err("maps without numbers".into()) };
        }
        let read = before.map_or(input.data.len(), Inline::len);
        let maps = read / source;
        if !input.channels.is_multiple_of(Lanes::COUNT)
            || read != maps * source
            || !maps.is_multiple_of(blocks)
            || output.len() != maps * result
            || after.is_some_and(|after| after.len() != output.len())
            || weights.len() != blocks * plan.filter * Lanes::COUNT
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
            let mut frame = Frame::new(&plan, input.size, together);
            let (mut before, mut after) = (before.map(Inline::work), after.map(Inline::work));
            let mut lines = vec![0.0; if before.is_some() { frame.count * line } else { 0 }];
            let mut sums = vec![Lanes::ZERO; together * size[1]];
            let mut taps = Vec::new();
            for band in maps * bands * piece / pieces..maps * bands * (piece + 1) / pieces {
                let (map, band) = (band / bands, band % bands);
                let filter = &weights[map % blocks * plan.filter * Lanes::COUNT..];
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
                    for (y, sums) in (first..).zip(sums.chunks_exact_mut(size[1]).take(count)) {
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
                    let sums = &Lanes::numbers(&sums)[..count * made];
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
    /// How far from a row of the result lie the lines that it meets.
    offsets: Range<usize>,
    /// Places in a line with its zeros, and the source's own.
    pitch: usize,
    width: usize,
    height: usize,
    /// How many lines there is room for. Line y stands at y modulo this.
    count: usize,
    /// The first that was not asked for yet.
    next: usize,
}

impl Frame {
    fn new(plan: &Plan, [height, width]: [usize; 2], together: usize) -> Self {
        let [rows, columns] = &plan.axes;
        let all = rows.taps.iter().flatten().map(|&(_, part, offset)| offset * rows.sources + part);
        let offsets = all.clone().min().unwrap_or(0)..all.max().map_or(0, |last| last + 1);
        let count = (offsets.len() + (together - 1).div_ceil(rows.results) * rows.sources).min(height);
        let pitch = columns.len * columns.sources;
        Self { lines: vec![Lanes::ZERO; pitch * count], offsets, pitch, width, height, count, next: 0 }
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
        let Self { lines, pitch, width, count, .. } = self;
        read(first..last, &mut |numbers| {
            for (y, line) in (first..last).zip(numbers.chunks_exact(*width * Lanes::COUNT)) {
                let to = &mut lines[y % *count * *pitch + plan.axes[1].before..][..*width];
                for (to, from) in to.iter_mut().zip(line.as_chunks().0) {
                    to.0 = *from;
                }
            }
        });
    }

    /// What a row of the result is a sum of, at those of its columns that are a part of it.
    fn taps(&self, plan: &Plan, y: usize, part: usize, filter: &[f32], taps: &mut Vec<Tap>) {
        let [rows, columns] = &plan.axes;
        taps.clear();
        for &(row, row_part, row_offset) in &rows.taps[y % rows.results] {
            let Some(line) = self.source(plan, y, (row_part, row_offset)) else { continue };
            let line = &self.lines[line % self.count * self.pitch..][..self.pitch];
            for &(column, column_part, offset) in &columns.taps[part] {
                let weight = (row * plan.kernel[1] + column) * Lanes::COUNT;
                let from = &line[offset * columns.sources + column_part..];
                taps.push((from.as_ptr(), filter[weight..].as_ptr()));
            }
        }
    }
}

/// Where what one weight of every channel multiplies begins, and these weights.
type Tap = (*const Lanes, *const f32);

/// Columns of a line of the result, and how far apart lie those that they meet.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    first: usize,
    step: usize,
    count: usize,
    source_step: usize,
}

/// `sums[first + i·step] = Σ tap[i·source_step] · weights`.
///
/// # Safety
/// The processor can do it, the columns are inside the sums, and there are as many places behind every tap as they meet.
pub(super) type Sum = unsafe fn(sums: &mut [Lanes], columns: Columns, taps: &[Tap]);

/// The loop for this processor.
pub(super) const fn sum_of(processor: Processor) -> Sum {
    match processor {
        Processor::Portable => sum::<Portable>,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Processor::Neon => sum::<crate::simd::arm::Neon>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sums: &mut [Lanes], columns: Columns, taps: &[Tap]) {
    // SAFETY: the caller's promise.
    unsafe { sum::<crate::simd::x86::Avx2>(sums, columns, taps) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(sums: &mut [Lanes], columns: Columns, taps: &[Tap]) {
    // SAFETY: the caller's promise.
    unsafe { sum::<crate::simd::x86::Avx512>(sums, columns, taps) }
}

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn sum<S: Simd>(sums: &mut [Lanes], columns: Columns, taps: &[Tap]) {
    let mut at = 0;
    // SAFETY: the caller's promise.
    unsafe {
        // As many at once as keep the processor's adders busy.
        while at + 8 <= columns.count {
            places::<S, 8>(sums, columns, at, taps);
            at += 8;
        }
        if at + 4 <= columns.count {
            places::<S, 4>(sums, columns, at, taps);
            at += 4;
        }
        while at < columns.count {
            places::<S, 1>(sums, columns, at, taps);
            at += 1;
        }
    }
}

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn places<S: Simd, const N: usize>(sums: &mut [Lanes], columns: Columns, at: usize, taps: &[Tap]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = [S::splat(0.0); N];
        for &(from, weights) in taps {
            let weights = S::load_bytes(weights.cast());
            for (index, value) in values.iter_mut().enumerate() {
                let numbers = S::load(from.add((at + index) * columns.source_step));
                *value = S::mul_add(numbers, weights, *value);
            }
        }
        for (index, value) in values.into_iter().enumerate() {
            S::store(&mut sums[columns.first + (at + index) * columns.step], value);
        }
    }
}
