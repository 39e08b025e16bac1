//! One channel at a time: into its frame, convolved, and out of it.

use super::loops::Correlate;
use super::plan::Plan;
use crate::lanes::Lanes;

/// What a thread needs for one channel.
pub(super) struct Scratch {
    /// The framed source, part by part; what is no place of the source stays zero.
    source: Vec<f32>,
    /// The result, part by part, each as long rows with the source's pitch.
    sums: Vec<Vec<Lanes>>,
    /// Offsets with the weights of the channel.
    taps: Vec<(usize, f32)>,
}

impl Scratch {
    pub(super) fn new(plan: &Plan, size: [usize; 2]) -> Self {
        let [rows, columns] = &plan.axes;
        let lines = size[0].div_ceil(rows.results);
        let blocks =
            ((lines - 1) * columns.len + size[1].div_ceil(columns.results)).div_ceil(Lanes::COUNT);
        // The last block may reach behind the last line.
        let farthest = plan.taps.iter().flatten().map(|tap| tap.offset).max().unwrap_or(0);
        let source = plan.frame().max(farthest + blocks * Lanes::COUNT);
        Self {
            source: vec![0.0; source],
            sums: vec![vec![Lanes::ZERO; blocks]; plan.taps.len()],
            taps: Vec::new(),
        }
    }

    /// Copies a channel with rows of `width` into its frame.
    pub(super) fn fill(&mut self, plan: &Plan, plane: &[f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in plane.chunks_exact(width).enumerate() {
            let (part_y, row) =
                ((y + rows.before) % rows.sources, (y + rows.before) / rows.sources);
            let part = |x: usize| {
                (part_y * columns.sources + x) * rows.len * columns.len + row * columns.len
            };
            if columns.sources == 1 {
                self.source[part(0)..][columns.before..][..width].copy_from_slice(line);
                continue;
            }
            for x in 0..columns.sources.min(width) {
                let (part_x, column) = (
                    (x + columns.before) % columns.sources,
                    (x + columns.before) / columns.sources,
                );
                let to = self.source[part(part_x) + column..].iter_mut();
                to.zip(line[x..].iter().step_by(columns.sources))
                    .for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// Convolves the channel that is in the frame.
    pub(super) fn convolve(&mut self, correlate: Correlate, plan: &Plan, filter: &[f32]) {
        for (sums, taps) in self.sums.iter_mut().zip(&plan.taps) {
            self.taps.clear();
            self.taps.extend(taps.iter().map(|tap| (tap.offset, filter[tap.weight])));
            // SAFETY: `new` made the source long enough for every tap.
            unsafe { correlate(sums, self.source.as_ptr(), &self.taps) };
        }
    }

    /// Copies the result to where it belongs, rows of `width`.
    pub(super) fn hand_out(&self, plan: &Plan, output: &mut [f32], width: usize) {
        let [rows, columns] = &plan.axes;
        for (y, line) in output.chunks_exact_mut(width).enumerate() {
            let from = y / rows.results * columns.len;
            let part = |x: usize| {
                &Lanes::numbers(&self.sums[y % rows.results * columns.results + x])[from..]
            };
            match columns.results {
                1 => line.copy_from_slice(&part(0)[..width]),
                // Two at once is what the compiler makes vector code of.
                2 => {
                    let (even, odd) = (part(0), part(1));
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
                            .zip(part(x))
                            .for_each(|(to, &value)| *to = value);
                    }
                }
            }
        }
    }
}
