//! Which masked passes Score-CAM runs, and which channels share one.

use std::collections::HashMap;

use ndarray::{ArrayView2, ArrayView3, Axis};

use crate::explain::math::channels::{channel_sum, min_max};
use crate::explain::parameters::Convention;

/// The masked passes to run, and the channels that each of them stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The channel whose mask each pass uses; `None` is the mask of zeros.
    pub passes: Vec<Option<usize>>,
    /// The pass that gives each channel's weight; `None` if no weight could change the map.
    pub pass_of_channel: Vec<Option<usize>>,
}

impl Plan {
    /// Plans the passes for an activation `[C, h, w]`.
    ///
    /// A channel that is 0 everywhere adds `w_k · 0` to the map, whatever its weight. `Paper` skips
    /// every constant channel, as its authors' code does; `Article` skips only channels of zeros.
    /// `PytorchGradCam` takes a softmax over the channels' scores, so every channel affects all
    /// weights; but all channels of zeros have the same masked image and share one pass.
    ///
    /// Other channels with equal masks share a pass, too. A mask is scaled to 0..1, so a channel
    /// and its multiple have the same mask. There are always some: channels that are active at one
    /// position only, and at the same one.
    ///
    /// `max_channels` limits the plan to the channels with the largest standard deviation (the
    /// article's `max_N`); among equal ones, the first.
    #[must_use]
    pub fn new(
        activation: ArrayView3<'_, f32>,
        convention: Convention,
        max_channels: Option<usize>,
    ) -> Self {
        let channels = activation.len_of(Axis(0));
        let selected = most_varied(activation, max_channels.unwrap_or(channels));
        let mut plan = Self { passes: Vec::new(), pass_of_channel: vec![None; channels] };
        let mut passes_by_mask = HashMap::new();
        for (index, channel) in activation.outer_iter().enumerate() {
            if !selected[index] {
                continue;
            }
            let (low, high) = min_max(channel);
            let is_zero = low == 0.0 && high == 0.0;
            let mask = match convention {
                Convention::Paper if low == high => continue,
                Convention::Article if is_zero => continue,
                Convention::PytorchGradCam if is_zero => None,
                _ => Some(index),
            };
            let pass = *passes_by_mask.entry(mask_key(channel, convention)).or_insert_with(|| {
                plan.passes.push(mask);
                plan.passes.len() - 1
            });
            plan.pass_of_channel[index] = Some(pass);
        }
        plan
    }

    /// The number of channels without a pass of their own.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.pass_of_channel.len() - self.passes.len()
    }

    /// The plan as if it ended after the first `count` passes.
    #[must_use]
    pub fn truncated(&self, count: usize) -> Self {
        let passes = self.passes.iter().copied().take(count).collect();
        let is_kept = |pass: &usize| *pass < count;
        let pass_of_channel = self.pass_of_channel.iter().map(|pass| pass.filter(is_kept));
        Self { passes, pass_of_channel: pass_of_channel.collect() }
    }
}

/// A key that is equal for channels whose masks differ at most by rounding.
///
/// `Paper` subtracts the minimum and divides by the range, and upsampling commutes with both, so
/// the key is the channel after these steps; `Article` only divides. `PytorchGradCam` adds 10⁻⁸ to
/// the range, so a multiple of a channel has a different mask.
fn mask_key(channel: ArrayView2<'_, f32>, convention: Convention) -> Vec<u32> {
    let (low, high) = min_max(channel);
    let range = f64::from(high) - f64::from(low);
    let (shift, scale) = match convention {
        Convention::Paper if range > 0.0 => (f64::from(low), range),
        Convention::Article if range > 0.0 => (0.0, range),
        _ => (0.0, 1.0),
    };
    // Adding 0 turns −0 into 0.
    channel
        .iter()
        .map(|&value| (((f64::from(value) - shift) / scale) as f32 + 0.0).to_bits())
        .collect()
}

/// Marks the `count` channels with the largest standard deviation.
fn most_varied(activation: ArrayView3<'_, f32>, count: usize) -> Vec<bool> {
    let channels = activation.len_of(Axis(0));
    if count >= channels {
        return vec![true; channels];
    }
    let deviation = |channel: ArrayView2<'_, f32>| {
        let mean = channel_sum(channel) / channel.len() as f64;
        channel.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>()
    };
    let deviations: Vec<f64> = activation.axis_iter(Axis(0)).map(deviation).collect();
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by(|&a, &b| deviations[b].total_cmp(&deviations[a]));
    let mut selected = vec![false; channels];
    order[..count].iter().for_each(|&index| selected[index] = true);
    selected
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    /// Channels: large range, zeros, constant but not zero, small range, zeros.
    fn activation() -> Array3<f32> {
        array![
            [[0.0, 4.0], [2.0, 8.0]],
            [[0.0, 0.0], [0.0, 0.0]],
            [[3.0, 3.0], [3.0, 3.0]],
            [[1.0, 2.0], [1.0, 2.0]],
            [[0.0, 0.0], [0.0, 0.0]]
        ]
    }

    #[test]
    fn channels_that_cannot_change_the_map_get_no_pass() {
        let of = |convention| Plan::new(activation().view(), convention, None);
        assert_eq!(of(Convention::Paper).passes, [Some(0), Some(3)]);
        assert_eq!(of(Convention::Article).passes, [Some(0), Some(2), Some(3)]);
        let shared = of(Convention::PytorchGradCam);
        assert_eq!(shared.passes, [Some(0), None, Some(2), Some(3)]);
        assert_eq!(shared.pass_of_channel, [Some(0), Some(1), Some(2), Some(3), Some(1)]);
        assert_eq!(shared.skipped(), 1);
    }

    /// Channels: one position, the same twice as large, the same above an offset, another position,
    /// the first again.
    #[test]
    fn channels_with_the_same_mask_share_a_pass() {
        let activation = array![
            [[0.0, 3.0], [0.0, 0.0]],
            [[0.0, 6.1], [0.0, 0.0]],
            [[1.0, 4.0], [1.0, 1.0]],
            [[0.0, 0.0], [3.0, 0.0]],
            [[-0.0, 3.0], [0.0, 0.0]]
        ];
        let of = |convention| Plan::new(activation.view(), convention, None);
        let paper = of(Convention::Paper);
        assert_eq!(paper.passes, [Some(0), Some(3)]);
        assert_eq!(paper.pass_of_channel, [Some(0), Some(0), Some(0), Some(1), Some(0)]);
        assert_eq!(paper.skipped(), 3);
        assert_eq!(
            of(Convention::Article).pass_of_channel,
            [Some(0), Some(0), Some(1), Some(2), Some(0)]
        );
        assert_eq!(
            of(Convention::PytorchGradCam).pass_of_channel,
            [Some(0), Some(1), Some(2), Some(3), Some(0)]
        );
    }

    #[test]
    fn max_channels_selects_the_most_varied_channels() {
        assert_eq!(Plan::new(activation().view(), Convention::Paper, Some(1)).passes, [Some(0)]);
        assert_eq!(
            Plan::new(activation().view(), Convention::Paper, Some(99)).passes,
            [Some(0), Some(3)]
        );
    }

    #[test]
    fn a_truncated_plan_leaves_out_the_channels_of_later_passes() {
        let plan = Plan::new(activation().view(), Convention::PytorchGradCam, None);
        let first = plan.truncated(2);
        assert_eq!(first.passes, [Some(0), None]);
        assert_eq!(first.pass_of_channel, [Some(0), Some(1), None, None, Some(1)]);
        assert_eq!(plan.truncated(99), plan);
    }
}
