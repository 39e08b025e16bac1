//! Near ties: pooling windows whose largest values differ by less than the kernels' rounding.
//!
//! A gradient through max pooling goes to the position of the largest value alone. Where two values
//! of a window are closer than the error of Winograd's algorithm, rounding would choose between
//! them. Those values, a few in 100 000, are computed again as sums in 64 bits over the layer's own
//! input, so that the choice is right for that input. Errors of earlier layers remain in the input.

use std::sync::{Mutex, PoisonError};

use super::geometry::MapSize;
use super::layer_task::LayerInput;
use super::types::FloatBytes;
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
    pub(super) filters: &'a [FloatBytes],
    pub(super) relu: bool,
    /// Of the convolution's input and output.
    pub(super) size: MapSize,
    /// Of all maps of the run.
    pub(super) input: LayerInput<'a>,
}

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
            let block_map = &from[block * area..(block + 1) * area];
            let mut values: Vec<([usize; 2], f32)> = Vec::new();
            self.near_ties(block_map, &firsts, &mut |lane, positions| {
                let channel = block * Block16::LANES + lane;
                if channel < self.weights.out_channels {
                    let exact = |&at: &usize| (at, self.exact(index, [channel, at]));
                    let window: Vec<(usize, f64)> = positions.iter().map(exact).collect();
                    values.extend(rounded(&window).map(|(at, value)| ([channel, at], value)));
                }
            });
            settled.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
        });
        let settled = settled.into_inner().unwrap_or_else(PoisonError::into_inner);
        for &([channel, at], value) in &settled {
            map[channel / Block16::LANES * area + at].0[channel % Block16::LANES] = value;
        }
        settled.len()
    }

    /// Calls `found` for each near tie of one channel block, with its lane and the positions of the
    /// nearly equal values, in the window's order.
    fn near_ties(
        &self,
        block: &[Block16],
        firsts: &[u32],
        found: &mut impl FnMut(usize, &[usize]),
    ) {
        let sampled = block.iter().step_by(SAMPLED).flat_map(|values| values.0);
        let bound = NEARLY_EQUAL * sampled.fold(0.0, |most, value| larger(most, value.abs()));
        // With a ReLU, a window of zeros takes no gradient.
        let least = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let width = self.size.width;
        let pooled = self.size.pooled();
        for row in 0..pooled.height {
            for column in 0..pooled.width {
                let corner = 2 * row * width + 2 * column;
                let window = [corner, corner + 1, corner + width, corner + width + 1];
                let [a, b, c, d] = window.map(|at| &block[at].0);
                // All lanes without a branch: nearly every window ends here.
                let mut most = 0;
                for lane in 0..Block16::LANES {
                    let [a, b, c, d] = [a[lane], b[lane], c[lane], d[lane]];
                    let largest = larger(larger(a, b), larger(c, d));
                    let from = largest - bound;
                    let near = [a, b, c, d].map(|value| i32::from(value >= from));
                    let near = near[0] + near[1] + near[2] + near[3];
                    most = most.max(near * i32::from(largest > least));
                }
                if most < 2 {
                    continue;
                }
                let first = window.map(|at| firsts[at] as usize);
                if first.iter().all(|&position| position == first[0]) {
                    continue;
                }
                for lane in 0..Block16::LANES {
                    let values = [a[lane], b[lane], c[lane], d[lane]];
                    let largest = values.into_iter().fold(f32::NEG_INFINITY, larger);
                    let mut near = Vec::with_capacity(4);
                    for (value, position) in values.into_iter().zip(first) {
                        if value >= largest - bound && !near.contains(&position) {
                            near.push(position);
                        }
                    }
                    if near.len() > 1 && largest > least {
                        found(lane, &near);
                    }
                }
            }
        }
    }

    /// An output of map `index`, a channel at a position, as a sum in 64 bits.
    fn exact(&self, index: usize, [channel, at]: [usize; 2]) -> f64 {
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
                .map(|(channel, filter)| {
                    f64::from(f32::from_ne_bytes(filter[tap])) * f64::from(input(channel))
                })
                .sum::<f64>();
        }
        let bias = self.weights.bias[channel / Block16::LANES].0[channel % Block16::LANES];
        let value = sum + f64::from(bias);
        if self.relu { value.max(0.0) } else { value }
    }
}

/// The larger of two numbers, in one instruction; [`f32::max`] takes several because of NaN.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A window's values in 32 bits. Where the largest becomes equal to another one, it takes the next
/// larger number, so that it stays the only largest. A value that is repeated in several windows is
/// stored as its last window needs it, so there a tie after rounding may remain.
fn rounded(window: &[(usize, f64)]) -> impl Iterator<Item = (usize, f32)> {
    let largest = window.iter().fold(f64::NEG_INFINITY, |most, &(_, value)| most.max(value));
    window.iter().map(move |&(at, value)| {
        let is_rounded_like_another =
            |&(_, other): &(usize, f64)| other < value && other as f32 == value as f32;
        let is_raised = value == largest && window.iter().any(is_rounded_like_another);
        (at, if is_raised { (value as f32).next_up() } else { value as f32 })
    })
}
