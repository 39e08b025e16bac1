//! Score-CAM's masks: channels upsampled to the input's size and scaled to 0..1.

use ndarray::{ArrayView3, ArrayViewMut2, Axis};

use crate::explain::math::channels::min_max;
use crate::explain::parameters::Convention;
use crate::picture::resize::Upsampler;

/// Generates the masks of one activation.
pub struct MaskGenerator<'a> {
    activation: ArrayView3<'a, f32>,
    upsampler: Upsampler,
    convention: Convention,
}

impl<'a> MaskGenerator<'a> {
    /// A generator of masks of `size` (height, width) from an activation `[C, h, w]`.
    #[must_use]
    pub fn new(
        activation: ArrayView3<'a, f32>,
        size: (usize, usize),
        convention: Convention,
    ) -> Self {
        let (_, height, width) = activation.dim();
        let upsampler = match convention {
            Convention::PytorchGradCam => Upsampler::align_corners((height, width), size),
            _ => Upsampler::half_pixel((height, width), size),
        };
        Self { activation, upsampler, convention }
    }

    /// Writes the mask `[H, W]` of a channel, or zeros for `None`. With the upsampled channel `u`:
    ///
    /// - `Paper`: `(u − min) / (max − min)`.
    /// - `Article`: `u / (max − min)`, without subtracting the minimum; a constant channel is used
    ///   unchanged.
    /// - `PytorchGradCam`: `(u − min) / (max − min + 10⁻⁸)`.
    pub fn write(&self, channel: Option<usize>, mut out: ArrayViewMut2<'_, f32>) {
        let Some(channel) = channel else {
            out.fill(0.0);
            return;
        };
        self.upsampler.apply(self.activation.index_axis(Axis(0), channel), out.view_mut());
        let (low, high) = min_max(out.view());
        let (shift, range) = match self.convention {
            Convention::Article => (0.0, high - low),
            Convention::PytorchGradCam => (low, high - low + 1e-8),
            _ => (low, high - low),
        };
        // Only rounding can make an upsampled channel constant that was not constant before.
        let range = if range > 0.0 { range } else { 1.0 };
        out.mapv_inplace(|value| (value - shift) / range);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn channels_that_share_a_pass_have_equal_masks() {
        let activation = array![
            [[0.0, 3.0], [0.0, 0.0]],
            [[0.0, 6.1], [0.0, 0.0]],
            [[1.0, 4.0], [1.0, 1.0]],
            [[0.0, 0.0], [3.0, 0.0]],
            [[-0.0, 3.0], [0.0, 0.0]]
        ];
        for convention in [Convention::Paper, Convention::Article, Convention::PytorchGradCam] {
            let plan = Plan::new(activation.view(), convention, None);
            let mask = |channel: usize| {
                let mut out = Array2::zeros((16, 16));
                MaskGenerator::new(activation.view(), (16, 16), convention)
                    .write(Some(channel), out.view_mut());
                out
            };
            for (channel, pass) in plan.pass_of_channel.iter().enumerate() {
                let used = mask(plan.passes[pass.unwrap()].unwrap());
                assert!(
                    mask(channel).iter().zip(&used).all(|(a, b)| (a - b).abs() <= f32::EPSILON)
                );
            }
        }
    }

    #[test]
    fn the_article_does_not_subtract_the_minimum() {
        let activation = array![[[1.0, 3.0]]];
        let at_layer_size = |convention| {
            let mut out = Array2::zeros((1, 2));
            MaskGenerator::new(activation.view(), (1, 2), convention)
                .write(Some(0), out.view_mut());
            out
        };
        assert_eq!(at_layer_size(Convention::Paper), array![[0.0, 1.0]]);
        assert_eq!(at_layer_size(Convention::Article), array![[0.5, 1.5]]);
    }
}
