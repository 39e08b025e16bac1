//! A ring buffer of input lines, each framed by zeros.

use std::ops::Range;

use super::row_kernel::Row;
use crate::block16::Block16;
use crate::depthwise::plan::Plan;

/// The input lines that the current output lines read.
pub(super) struct LineRing {
    lines: Vec<Block16>,
    /// Channels in a block.
    lanes: usize,
    /// Offsets of the input lines that an output line reads.
    offsets: Range<usize>,
    /// Floats per line with its frame.
    pitch: usize,
    /// Floats per line of the input.
    width: usize,
    /// Lines of the input.
    height: usize,
    /// Lines in the buffer, a power of two; line y is stored at y modulo this.
    capacity: usize,
    /// The first line that has not been read yet.
    next: usize,
}

impl LineRing {
    /// A ring for `lines_at_once` output lines at a time.
    pub(super) fn new(
        plan: &Plan,
        [height, width]: [usize; 2],
        lines_at_once: usize,
        lanes: usize,
    ) -> Self {
        let [rows, columns] = &plan.axes;
        let all = rows.taps.iter().flatten().map(|tap| tap.offset * rows.in_phases + tap.phase);
        let offsets = all.clone().min().unwrap_or(0)..all.max().map_or(0, |last| last + 1);
        let capacity = (offsets.len()
            + (lines_at_once - 1).div_ceil(rows.out_phases) * rows.in_phases)
            .min(height);
        let capacity = capacity.next_power_of_two();
        let pitch = columns.len * columns.in_phases * lanes;
        let lines = vec![Block16::ZERO; Block16::count_for(pitch * capacity)];
        Self { lines, lanes, offsets, pitch, width: width * lanes, height, capacity, next: 0 }
    }

    /// Lines in the buffer.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Starts another map.
    pub(super) fn reset(&mut self) {
        self.next = 0;
    }

    /// Where a line of the input is stored.
    const fn start_of(&self, line: usize) -> usize {
        (line & (self.capacity - 1)) * self.pitch
    }

    /// Makes the input lines available that these output lines read. `read` is called with the
    /// lines that are missing, and passes their values on to its second argument.
    pub(super) fn advance(
        &mut self,
        plan: &Plan,
        outputs: Range<usize>,
        mut read: impl FnMut(Range<usize>, &mut dyn FnMut(&[f32])),
    ) {
        let rows = &plan.axes[0];
        let line_of = |y: usize, offset: usize| {
            (y / rows.out_phases * rows.in_phases + offset).saturating_sub(rows.pad_before)
        };
        let first = line_of(outputs.start, self.offsets.start).max(self.next);
        let last = line_of(outputs.end - 1, self.offsets.end).min(self.height);
        if first >= last {
            return;
        }
        self.next = last;
        read(first..last, &mut |values| {
            for (y, line) in (first..last).zip(values.chunks_exact(self.width)) {
                let start = self.start_of(y) + plan.axes[1].pad_before * self.lanes;
                Block16::as_floats_mut(&mut self.lines)[start..][..self.width]
                    .copy_from_slice(line);
            }
        });
    }

    /// The input lines that output line `y` reads, each with its row of the filter.
    pub(super) fn rows(&self, plan: &Plan, y: usize, filter: &[f32], read: &mut Vec<Row>) {
        let (rows, width) = (&plan.axes[0], plan.kernel[1] * self.lanes);
        let lines = Block16::as_floats(&self.lines);
        let (first, phase) = (y / rows.out_phases, y % rows.out_phases);
        read.clear();
        for tap in &rows.taps[phase] {
            let framed = (first + tap.offset) * rows.in_phases + tap.phase;
            // Lines outside the input are padding and contribute nothing.
            if let Some(line) =
                framed.checked_sub(rows.pad_before).filter(|&line| line < self.height)
            {
                let line = &lines[self.start_of(line)..][..self.pitch];
                read.push((line.as_ptr(), filter[tap.index * width..][..width].as_ptr()));
            }
        }
    }
}
