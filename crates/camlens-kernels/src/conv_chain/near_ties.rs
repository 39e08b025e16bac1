//! Near ties: pooling windows whose largest values differ by less than the kernels' rounding.
//!
//! A gradient through max pooling goes to the position of the largest value alone. Where two values
//! of a window are closer than the error of Winograd's algorithm, rounding would choose between
//! them. Those values, a few in 100 000, are computed again as sums in 64 bits over the layer's own
//! input, so that the choice is right for that input. Errors of earlier layers remain in the input.

use std::sync::{Mutex, PoisonError};

use super::geometry::MapSize;
use super::layer_task::LayerInput;
use super::weights::ConvWeights;
use crate::block16::Block16;
use crate::executor::Executor;

/// Values of a window are nearly equal if they differ by at most this part of the largest values
/// of their channel block. The error of a value rarely exceeds half of it.
const NEARLY_EQUAL: f32 = 1.0 / (1 << 20) as f32;

/// Every how many positions the largest value of a channel block is looked for.
const SAMPLED: usize = 7;

/// A layer, as computing some of its values again needs to know it.
#[derive(Clone, Copy)]
pub(super) struct ExactLayer<'a> {
    pub(super) weights: &'a ConvWeights,
    /// `[out channel][in channel][filter row][filter column]`.
    pub(super) filters: &'a [f32],
    pub(super) relu: bool,
    /// Of the convolution's input and output.
    pub(super) size: MapSize,
    /// Of all maps of the run.
    pub(super) input: LayerInput<'a>,
}

/// A value to compute again: its out channel and its position.
type Value = [usize; 2];

impl ExactLayer<'_> {
    /// Computes the nearly equal largest values of each pooling window of one map again, in `map`,
    /// `[out block][row][column]`, the unpooled output. `repeats` lists the positions that repeat
    /// an earlier one, as `[from, to]`: they are equal in exact arithmetic, so they make no near
    /// tie, and only the first of them is computed. Returns the number of values.
    pub(super) fn settle(
        &self,
        index: usize,
        map: &mut [Block16],
        repeats: &[[u32; 2]],
        executor: &dyn Executor,
    ) -> usize {
        let area = self.size.area();
        let blocks = self.weights.out_blocks();
        let mut firsts: Vec<u32> = (0..area as u32).collect();
        repeats.iter().for_each(|&[from, to]| firsts[to as usize] = from);
        let settled = Mutex::new(Vec::new());
        let from = &*map;
        executor.run(blocks, &|block| {
            let mut values = Vec::new();
            self.near_ties(&from[block * area..(block + 1) * area], &firsts, &mut |lane, at| {
                values.push([block * Block16::LANES + lane, at]);
            });
            // A repeated position occurs once for every window that holds it.
            values.sort_unstable();
            values.dedup();
            values.retain(|&[channel, _]| channel < self.weights.out_channels);
            let exact = values.into_iter().map(|value| (value, self.exact(index, value)));
            let exact: Vec<(Value, f32)> = exact.collect();
            settled.lock().unwrap_or_else(PoisonError::into_inner).extend(exact);
        });
        let settled = settled.into_inner().unwrap_or_else(PoisonError::into_inner);
        for &([channel, at], value) in &settled {
            map[channel / Block16::LANES * area + at].0[channel % Block16::LANES] = value;
        }
        settled.len()
    }

    /// Calls `found` with the lane and the position of each value of one channel block that is
    /// nearly equal to the largest of its window and is not a repetition of it.
    fn near_ties(&self, block: &[Block16], firsts: &[u32], found: &mut impl FnMut(usize, usize)) {
        let sampled = block.iter().step_by(SAMPLED).flat_map(|values| values.0);
        let bound =
            NEARLY_EQUAL * sampled.fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let width = self.size.width;
        let pooled = self.size.pooled();
        for row in 0..pooled.height {
            for column in 0..pooled.width {
                let corner = 2 * row * width + 2 * column;
                let window = [corner, corner + 1, corner + width, corner + width + 1];
                let first = window.map(|at| firsts[at]);
                if first.iter().all(|&position| position == first[0]) {
                    continue;
                }
                let values = window.map(|at| &block[at].0);
                // All lanes without a branch: nearly every window ends here.
                let mut is_near = [false; Block16::LANES];
                for (lane, is_near) in is_near.iter_mut().enumerate() {
                    let [a, b, c, d] = values.map(|values| values[lane]);
                    let (above, below) = (a.max(b), c.max(d));
                    let second =
                        above.min(below).max(if above > below { a.min(b) } else { c.min(d) });
                    let largest = above.max(below);
                    // With a ReLU, a window of zeros takes no gradient.
                    *is_near = largest - second <= bound && (largest > 0.0 || !self.relu);
                }
                for lane in (0..Block16::LANES).filter(|&lane| is_near[lane]) {
                    let largest = values.iter().fold(f32::NEG_INFINITY, |l, v| l.max(v[lane]));
                    let is_candidate = |i: &usize| largest - values[*i][lane] <= bound;
                    let mut candidates = (0..4).filter(is_candidate).map(|i| first[i]);
                    let one = candidates.next();
                    if candidates.any(|position| Some(position) != one) {
                        (0..4).filter(is_candidate).for_each(|i| found(lane, first[i] as usize));
                    }
                }
            }
        }
    }

    /// An output of map `index`, from a sum in 64 bits.
    fn exact(&self, index: usize, [channel, at]: Value) -> f32 {
        let MapSize { height, width } = self.size;
        let (area, ins) = (self.size.area(), self.weights.in_channels);
        let (row, column) = (at / width, at % width);
        let filters = self.filters[channel * ins * 9..(channel + 1) * ins * 9].as_chunks::<9>().0;
        let mut sum = 0.0;
        for tap in 0..9 {
            // One more than the position, since the padding is one wide.
            let (y, x) = (row + tap / 3, column + tap % 3);
            if !(1..=height).contains(&y) || !(1..=width).contains(&x) {
                continue;
            }
            let at = (y - 1) * width + x - 1;
            let input = |channel: usize| match self.input {
                LayerInput::Nchw(values) => values[(index * ins + channel) * area + at],
                LayerInput::Blocks(blocks) => {
                    let map = index * self.weights.in_blocks() + channel / Block16::LANES;
                    blocks[map * area + at].0[channel % Block16::LANES]
                }
            };
            let products = filters.iter().enumerate();
            sum += products
                .map(|(channel, filter)| f64::from(filter[tap]) * f64::from(input(channel)))
                .sum::<f64>();
        }
        let bias = self.weights.bias[channel / Block16::LANES].0[channel % Block16::LANES];
        let value = (sum + f64::from(bias)) as f32;
        if self.relu { value.max(0.0) } else { value }
    }
}
