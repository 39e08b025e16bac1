//! Near ties: pooling windows whose largest values differ by less than the kernels' rounding.
//!
//! A gradient through max pooling goes to the position of the largest value alone. Where two values
//! of a window are closer than the error of Winograd's algorithm, rounding would choose between
//! them. Those values, a few in 100 000, are computed again as sums in 64 bits over the layer's own
//! input, so that the choice is right for that input. Errors of earlier layers remain in the input.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::geometry::MapSize;
use super::layer_task::LayerInput;
use super::types::{Doubts, FloatBytes};
use super::weights::ConvWeights;
use crate::block16::Block16;
use crate::executor::Executor;
use crate::rounding::to_f32;

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
    /// tie, and only the first of them is computed. Returns what was in doubt.
    pub(super) fn settle(
        &self,
        index: usize,
        map: &mut [Block16],
        repeats: &[[u32; 2]],
        executor: &dyn Executor,
    ) -> Doubts {
        let area = self.size.area();
        let blocks = self.weights.out_blocks();
        let mut firsts: Vec<u32> = (0..).take(area).collect();
        repeats.iter().for_each(|&[from, to]| firsts[to as usize] = from);
        let ties = Mutex::new(Vec::new());
        let open_gates = AtomicUsize::new(0);
        let from = &*map;
        executor.run(blocks, &|block| {
            let block_map = &from[block * area..(block + 1) * area];
            let mut found: Vec<NearTie> = Vec::new();
            let gates = self.near_ties(block_map, &firsts, &mut |lane, positions| {
                let channel = block * Block16::LANES + lane;
                if channel < self.weights.out_channels {
                    let exact = |&at: &usize| (at, self.exact(index, [channel, at]));
                    found.push(NearTie { channel, values: positions.iter().map(exact).collect() });
                }
            });
            open_gates.fetch_add(gates, Ordering::Relaxed);
            ties.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        });
        let ties = ties.into_inner().unwrap_or_else(PoisonError::into_inner);
        let near_ties = ties.len();
        let settled = rounded_in_order(ties);
        for (&(channel, at), &value) in &settled {
            map[channel / Block16::LANES * area + at].0[channel % Block16::LANES] = value;
        }
        Doubts { settled: settled.len(), near_ties, open_gates: open_gates.into_inner() }
    }

    /// Calls `found` for each near tie of one channel block, with its lane and the positions of the
    /// nearly equal values, in the window's order. Returns the number of open gates in doubt.
    fn near_ties(
        &self,
        block: &[Block16],
        firsts: &[u32],
        found: &mut impl FnMut(usize, &[usize]),
    ) -> usize {
        let sampled = block.iter().step_by(SAMPLED).flat_map(|values| values.0);
        let bound = NEARLY_EQUAL * sampled.fold(0.0, |most, value| larger(most, value.abs()));
        // With a ReLU, a window of zeros takes no gradient.
        let least = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let width = self.size.width;
        let pooled = self.size.pooled();
        let mut gates = 0;
        for row in 0..pooled.height {
            for column in 0..pooled.width {
                let corner = 2 * row * width + 2 * column;
                let window = [corner, corner + 1, corner + width, corner + width + 1];
                let [a, b, c, d] = window.map(|at| &block[at].0);
                // All lanes without a branch: nearly every window ends here.
                let (mut most, mut open) = (0, 0_u8);
                for lane in 0..Block16::LANES {
                    let [a, b, c, d] = [a[lane], b[lane], c[lane], d[lane]];
                    let largest = larger(larger(a, b), larger(c, d));
                    let from = largest - bound;
                    let near = [a, b, c, d].map(|value| i32::from(value >= from));
                    let near = near[0] + near[1] + near[2] + near[3];
                    most = most.max(near * i32::from(largest > least));
                    let doubtful = [a, b, c, d].map(|v| u8::from(v > 0.0 && v <= bound));
                    open += doubtful[0] + doubtful[1] + doubtful[2] + doubtful[3];
                }
                gates += usize::from(open);
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
        if self.relu { gates } else { 0 }
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

/// The nearly equal largest values of a pooling window.
struct NearTie {
    channel: usize,
    /// Positions in the map, and their values in 64 bits.
    values: Vec<(usize, f64)>,
}

impl NearTie {
    fn largest(&self) -> f64 {
        self.values.iter().fold(f64::NEG_INFINITY, |most, &(_, value)| most.max(value))
    }
}

/// The values in 32 bits, by channel and position. Where a window's largest value would become
/// equal to another one, it takes the next larger number, so that it stays the only largest.
///
/// A position may belong to several windows, since repeated positions are computed once. So a
/// number in 64 bits has one number in 32 bits in all windows of its channel. It is final after the
/// windows whose largest value it is: windows are taken in the order of their largest values.
fn rounded_in_order(mut ties: Vec<NearTie>) -> HashMap<(usize, usize), f32> {
    ties.sort_by(|a, b| a.largest().total_cmp(&b.largest()));
    let mut in_32_bits: HashMap<(usize, u64), f32> = HashMap::new();
    for tie in &ties {
        let largest = tie.largest();
        let mut below = f32::NEG_INFINITY;
        for &(_, value) in &tie.values {
            let rounded = in_32_bits.entry((tie.channel, value.to_bits())).or_insert(to_f32(value));
            if value < largest {
                below = larger(below, *rounded);
            }
        }
        let rounded = in_32_bits.entry((tie.channel, largest.to_bits()));
        rounded.and_modify(|rounded| *rounded = larger(*rounded, below.next_up()));
    }
    let numbers = ties.iter().flat_map(|tie| {
        tie.values.iter().map(|&(at, value)| ((tie.channel, at), (tie.channel, value.to_bits())))
    });
    numbers.map(|(position, number)| (position, in_32_bits[&number])).collect()
}

#[cfg(test)]
mod tests {
    use super::{NearTie, rounded_in_order};

    /// Four numbers in 64 bits that round to the same number in 32 bits, in ascending order.
    fn close_numbers() -> [f64; 4] {
        [0.0, 1e-9, 2e-9, 3e-9].map(|step| 1.0 + step)
    }

    fn tie<const N: usize>(values: [(usize, f64); N]) -> NearTie {
        NearTie { channel: 3, values: values.to_vec() }
    }

    #[test]
    fn the_largest_value_of_a_window_stays_the_only_largest() {
        let [a, b, ..] = close_numbers();
        let rounded = rounded_in_order(vec![tie([(0, a), (1, b)])]);
        assert_eq!(rounded[&(3, 0)], 1.0);
        assert_eq!(rounded[&(3, 1)], 1.0_f32.next_up());
    }

    #[test]
    fn a_position_of_several_windows_has_one_value_that_is_right_in_all_of_them() {
        let [a, b, c, d] = close_numbers();
        let windows = [[(0, a), (1, b)], [(1, b), (2, c)], [(2, c), (3, d)], [(0, a), (3, d)]];
        // Whatever order the blocks are found in.
        for first in 0..windows.len() {
            let ordered = (0..windows.len()).map(|at| tie(windows[(first + at) % windows.len()]));
            let rounded = rounded_in_order(ordered.collect());
            for [(low, _), (high, _)] in windows {
                assert!(rounded[&(3, low)] < rounded[&(3, high)], "{first}: {rounded:?}");
            }
        }
    }

    #[test]
    fn values_that_are_equal_in_64_bits_stay_equal() {
        let [a, b, ..] = close_numbers();
        let rounded = rounded_in_order(vec![tie([(0, a), (1, b), (2, b)]), tie([(4, a), (2, b)])]);
        assert_eq!(rounded[&(3, 1)], rounded[&(3, 2)]);
        assert!(rounded[&(3, 1)] > rounded[&(3, 0)]);
    }
}
