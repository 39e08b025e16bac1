//! One channel at a time: copied into its frame, convolved, and copied out.

use super::correlate::Correlate;
use super::plan::Plan;
use crate::block16::Block16;

/// A thread's buffers for one channel.
pub(super) struct PlaneScratch {
    /// The framed input, phase by phase. Elements outside the input stay zero.
    source: Vec<f32>,
    /// The output, phase by phase, each as one long row with the input's pitch.
    sums: Vec<Vec<Block16>>,
    /// Offsets with the weights of the current channel.
    taps: Vec<(usize, f32)>,
}

impl PlaneScratch {
    pub(super) fn new(plan: &Plan, out_size: [usize; 2]) -> Self {
        let [rows, columns] = &plan.axes;
        let lines = out_size[0].div_ceil(rows.out_phases);
        let blocks = ((lines - 1) * columns.len + out_size[1].div_ceil(columns.out_phases))
            .div_ceil(Block16::LANES);
        // The last block may reach past the last line.
        let farthest = plan.taps.iter().flatten().map(|tap| tap.offset).max().unwrap_or(0);
        let source = plan.frame_len().max(farthest + blocks * Block16::LANES);
        Self {
            source: vec![0.0; source],
            sums: vec![vec![Block16::ZERO; blocks]; plan.taps.len()],
            taps: Vec::new(),
        }
    }

    /// Copies a channel with rows of `width` into its frame.
    pub(super) fn load(&mut self, plan: &Plan, plane: &[f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in plane.chunks_exact(width).enumerate() {
            let (row_phase, row) =
                ((y + rows.pad_before) % rows.in_phases, (y + rows.pad_before) / rows.in_phases);
            let phase_start = |column_phase: usize| {
                (row_phase * columns.in_phases + column_phase) * rows.len * columns.len
                    + row * columns.len
            };
            if columns.in_phases == 1 {
                self.source[phase_start(0)..][columns.pad_before..][..width].copy_from_slice(line);
                continue;
            }
            for x in 0..columns.in_phases.min(width) {
                let (column_phase, column) = (
                    (x + columns.pad_before) % columns.in_phases,
                    (x + columns.pad_before) / columns.in_phases,
                );
                let to = self.source[phase_start(column_phase) + column..].iter_mut();
                to.zip(line[x..].iter().step_by(columns.in_phases))
                    .for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// Convolves the channel in the frame.
    pub(super) fn convolve(&mut self, correlate: Correlate, plan: &Plan, filter: &[f32]) {
        for (sums, taps) in self.sums.iter_mut().zip(&plan.taps) {
            self.taps.clear();
            self.taps.extend(taps.iter().map(|tap| (tap.offset, filter[tap.weight])));
            // SAFETY: `new` made the source long enough for every tap.
            unsafe { correlate(sums, self.source.as_ptr(), &self.taps) };
        }
    }

    /// Copies the output to a plane with rows of `width`.
    pub(super) fn store(&self, plan: &Plan, output: &mut [f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in output.chunks_exact_mut(width).enumerate() {
            let from = y / rows.out_phases * columns.len;
            let phase = |x: usize| {
                let sums = &self.sums[y % rows.out_phases * columns.out_phases + x];
                &Block16::as_floats(sums)[from..]
            };
            match columns.out_phases {
                1 => line.copy_from_slice(&phase(0)[..width]),
                // A loop over pairs is one that the compiler vectorises.
                2 => {
                    let (even, odd) = (phase(0), phase(1));
                    let (pairs, last) = line.as_chunks_mut::<2>();
                    let count = pairs.len();
                    for ((pair, &even), &odd) in pairs.iter_mut().zip(even).zip(odd) {
                        *pair = [even, odd];
                    }
                    last.iter_mut().for_each(|last| *last = even[count]);
                }
                step => {
                    for x in 0..step.min(width) {
                        line[x..]
                            .iter_mut()
                            .step_by(step)
                            .zip(phase(x))
                            .for_each(|(to, &value)| *to = value);
                    }
                }
            }
        }
    }
}
