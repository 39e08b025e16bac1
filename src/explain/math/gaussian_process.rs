//! Estimates all of Score-CAM's weights from some of its passes, and how reliable the map is.
//!
//! The score of an image seen through one mask predicts the score seen through a similar mask. The
//! scores of all masks are therefore modelled as a Gaussian process (Rasmussen and Williams,
//! Gaussian Processes for Machine Learning, chapter 2): an unknown constant plus values whose
//! correlation grows with the similarity of their masks. Three things follow:
//!
//! - which masks to run first: always the one that reduces the map's variance most. The scores do
//!   not affect this order, so it is known before the first pass;
//! - what the other masks' scores will be: their conditional means;
//! - how the finished map may still change: maps are drawn from the remaining variance, whose scale
//!   is set by leave-one-out prediction of the known scores.
//!
//! The reported confidence is the correlation between the map of the means and the drawn maps.

use ndarray::{Array1, Array2, ArrayView1, ArrayView3, Axis, s};
use serde::Serialize;

use super::linear_algebra::{cholesky, correlation, inverse};
use super::rng::SplitMix64;

/// The noise variance, relative to the process: how much the scores of two equal masks would
/// differ.
const NUGGET: f64 = 0.01;
/// Maps are compared in at most this many rows and columns.
const MAX_GRID: usize = 16;
/// The number of maps that are drawn.
const DRAWS: usize = 128;

/// The estimated agreement, as Pearson's correlation, of a map from some passes with the map from
/// all passes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Confidence {
    /// The median estimate.
    pub correlation: f64,
    /// The correlation that is exceeded with a probability of 0.9, if the model is right.
    pub at_least: f64,
}

/// A set of masks, each with the map that its score weights.
pub struct Estimator {
    /// `[K, positions]`.
    maps: Array2<f64>,
    /// The correlation of the scores of two masks, `[K, K]`, 1 on the diagonal.
    kernel: Array2<f64>,
    /// The kernel times the maps, `[K, positions]`.
    spread: Array2<f64>,
    /// The masks, the most informative first.
    order: Vec<usize>,
}

/// Predicted scores of all masks.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// `[K]`; known scores are unchanged.
    pub scores: Array1<f64>,
    /// The estimated agreement of the map that they give with the exact one.
    pub confidence: Confidence,
}

impl Estimator {
    /// A model of `masks`, the channels that the masks are made of, and of `maps`, which their
    /// scores weight, both `[K, h, w]`. The first `count` masks of the order are computed.
    #[must_use]
    pub fn new(masks: ArrayView3<'_, f32>, maps: ArrayView3<'_, f32>, count: usize) -> Self {
        let mut shapes = coarse(masks);
        for mut shape in shapes.rows_mut() {
            let low = shape.iter().copied().fold(f64::INFINITY, f64::min);
            let high = shape.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = if high > low { high - low } else { 1.0 };
            shape.mapv_inplace(|value| (value - low) / range);
        }
        let (maps, kernel) = (coarse(maps), kernel(&shapes));
        let spread = kernel.dot(&maps);
        let order = order(&kernel, &maps, &spread, count);
        Self { maps, kernel, spread, order }
    }

    /// The masks to run, the most informative first.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Predicts all scores from those of the first masks of the order, at least one.
    #[must_use]
    pub fn predict(&self, known: &[f64]) -> Prediction {
        let first = &self.order[..known.len().min(self.order.len())];
        let scores = Array1::from_iter(known.iter().copied().take(first.len()));
        let columns = self.kernel.select(Axis(1), first);
        let among = columns.select(Axis(0), first);
        let inverse = inverse(&(&among + &(Array2::<f64>::eye(first.len()) * NUGGET)));

        // The best linear estimate of the unknown constant.
        let ones = inverse.sum_axis(Axis(1));
        let total = ones.sum();
        let mean = ones.dot(&scores) / total;
        let residual = inverse.dot(&(&scores - mean));
        let least = scores.iter().copied().fold(0.0, f64::min);
        // Probabilities are never negative; differences can be.
        let mut predicted = columns.dot(&residual).mapv_into(|value| (value + mean).max(least));
        first.iter().zip(&scores).for_each(|(&mask, &score)| predicted[mask] = score);

        // Leave-one-out residuals of the known scores set the scale of the variance.
        let left_out = |index: usize| {
            let precision = inverse[[index, index]] - ones[index] * ones[index] / total;
            if precision > 1e-12 { residual[index] * residual[index] / precision } else { 0.0 }
        };
        let scale = (0..first.len()).map(left_out).sum::<f64>() / first.len() as f64;
        let covariance = self.covariance(first, &among, &inverse, ones.view(), total) * scale;
        let map = predicted.dot(&self.maps);
        Prediction {
            scores: predicted,
            confidence: confidence(&map, &covariance, self.floor() * scale),
        }
    }

    /// A variance of the map that is only rounding error.
    fn floor(&self) -> f64 {
        let prior =
            self.maps.iter().zip(&self.spread).map(|(map, spread)| map * spread).sum::<f64>();
        1e-10 * prior / self.maps.ncols().max(1) as f64
    }

    /// The covariance of the map `Σ_k score_k · map_k`, `[positions, positions]`, up to the scale.
    /// The unknown constant adds the last term.
    fn covariance(
        &self,
        first: &[usize],
        among: &Array2<f64>,
        inverse: &Array2<f64>,
        ones: ArrayView1<'_, f64>,
        total: f64,
    ) -> Array2<f64> {
        // Known scores are certain, so only the maps of the others, X − X_S, contribute.
        let (known, spread) =
            (self.maps.select(Axis(0), first), self.spread.select(Axis(0), first));
        let shared = known.t().dot(&spread);
        let own = known.t().dot(among).dot(&known);
        let prior = self.maps.t().dot(&self.spread) - &shared - shared.t() + own;
        let learned = spread.t().to_owned() - known.t().dot(among);
        let unknown = self.maps.sum_axis(Axis(0)) - known.sum_axis(Axis(0));
        let constant = (unknown - learned.dot(&ones)).insert_axis(Axis(1));
        prior - learned.dot(inverse).dot(&learned.t()) + constant.dot(&constant.t()) / total
    }
}

/// Maps `[K, h, w]` as rows, averaged to a grid of at most [`MAX_GRID`] rows and columns.
fn coarse(maps: ArrayView3<'_, f32>) -> Array2<f64> {
    let (count, height, width) = maps.dim();
    let (down, across) = (height.div_ceil(MAX_GRID).max(1), width.div_ceil(MAX_GRID).max(1));
    let (rows, columns) = (height.div_ceil(down), width.div_ceil(across));
    let mut coarse = Array2::zeros((count, rows * columns));
    for (map, mut line) in maps.outer_iter().zip(coarse.rows_mut()) {
        for (cell, value) in line.iter_mut().enumerate() {
            let (top, left) = (cell / columns * down, cell % columns * across);
            let (bottom, right) = ((top + down).min(height), (left + across).min(width));
            *value = map.slice(s![top..bottom, left..right]).mapv(f64::from).mean().unwrap_or(0.0);
        }
    }
    coarse
}

/// `exp(−√(mean (a − b)²))` of every pair of masks, between 1/e and 1.
fn kernel(shapes: &Array2<f64>) -> Array2<f64> {
    let products = shapes.dot(&shapes.t());
    let positions = shapes.ncols().max(1) as f64;
    Array2::from_shape_fn(products.dim(), |(a, b)| {
        let square = products[[a, a]] + products[[b, b]] - 2.0 * products[[a, b]];
        (-(square.max(0.0) / positions).sqrt()).exp()
    })
}

/// The masks in greedy order, each the one whose score reduces the map's variance most.
///
/// The remaining kernel is K − L·Lᵀ after each step, as in a pivoted Cholesky factorisation; only
/// its diagonal and its product with the maps are stored.
fn order(
    kernel: &Array2<f64>,
    maps: &Array2<f64>,
    spread: &Array2<f64>,
    count: usize,
) -> Vec<usize> {
    let masks = kernel.nrows();
    let count = count.min(masks);
    let mut order = Vec::with_capacity(count);
    let mut is_taken = vec![false; masks];
    let mut variance: Vec<f64> = (0..masks).map(|mask| kernel[[mask, mask]]).collect();
    let (mut left, mut factor) = (spread.clone(), Array2::<f64>::zeros((masks, count)));
    for step in 0..count {
        let gain = |mask: usize| left.row(mask).dot(&left.row(mask)) / (variance[mask] + NUGGET);
        let best = (0..masks).filter(|&mask| !is_taken[mask]).map(|mask| (mask, gain(mask)));
        let Some((mask, _)) = best.reduce(|best, next| if next.1 > best.1 { next } else { best })
        else {
            break;
        };
        let before = factor.slice(s![.., ..step]);
        let mut column = &kernel.column(mask) - &before.dot(&before.row(mask));
        column /= (variance[mask] + NUGGET).sqrt();
        let explained = column.dot(maps);
        for (index, &value) in column.iter().enumerate() {
            left.row_mut(index).scaled_add(-value, &explained);
            variance[index] = (variance[index] - value * value).max(0.0);
        }
        factor.column_mut(step).assign(&column);
        is_taken[mask] = true;
        order.push(mask);
    }
    order
}

/// Draws maps around `map` and measures their correlation with it, after the ReLU that the finished
/// map goes through.
fn confidence(map: &Array1<f64>, covariance: &Array2<f64>, floor: f64) -> Confidence {
    let factor = cholesky(covariance, floor);
    let rectified = map.mapv(|value| value.max(0.0));
    let mut rng = SplitMix64::new(0);
    let mut correlations: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let normal: Array1<f64> = (0..map.len()).map(|_| rng.normal()).collect();
            let drawn = (map + &factor.dot(&normal)).mapv_into(|value| value.max(0.0));
            correlation(rectified.view(), drawn.view())
        })
        .collect();
    correlations.sort_by(f64::total_cmp);
    Confidence { correlation: correlations[DRAWS / 2], at_least: correlations[DRAWS / 10] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// Bumps at 60 positions, and scores that change slowly from one to the next.
    fn bumps() -> (Array3<f32>, Vec<f64>) {
        let centre = |k: usize| ((k * 7 % 12) as f64, (k * 5 % 11) as f64);
        let masks = Array3::from_shape_fn((60, 12, 11), |(k, y, x)| {
            let (cy, cx) = centre(k);
            let square = (y as f64 - cy).powi(2) + (x as f64 - cx).powi(2);
            (-square / (4.0 + (k % 4) as f64)).exp() as f32
        });
        let score = |k: usize| {
            let (cy, cx) = centre(k);
            0.1 + (-((cy - 3.0).powi(2) + (cx - 6.0).powi(2)) / 12.0).exp()
        };
        (masks, (0..60).map(score).collect())
    }

    fn true_correlation(masks: &Array3<f32>, scores: &[f64], predicted: &Array1<f64>) -> f64 {
        let maps = coarse(masks.view());
        let map =
            |weights: ArrayView1<'_, f64>| weights.dot(&maps).mapv_into(|value| value.max(0.0));
        correlation(map(Array1::from(scores.to_vec()).view()).view(), map(predicted.view()).view())
    }

    #[test]
    fn more_passes_improve_the_map_and_the_confidence() {
        let (masks, scores) = bumps();
        let estimator = Estimator::new(masks.view(), masks.view(), 60);
        let known: Vec<f64> = estimator.order().iter().map(|&mask| scores[mask]).collect();
        let few = estimator.predict(&known[..10]);
        let many = estimator.predict(&known[..40]);
        let (of_few, of_many) = (
            true_correlation(&masks, &scores, &few.scores),
            true_correlation(&masks, &scores, &many.scores),
        );
        assert!(of_few > 0.8 && of_many > 0.995 && of_many > of_few, "{of_few}, {of_many}");
        assert!(many.confidence.correlation > few.confidence.correlation);
        assert!(few.confidence.at_least <= few.confidence.correlation);
        assert!(few.confidence.at_least <= of_few && many.confidence.at_least <= of_many);
    }

    #[test]
    fn with_all_scores_known_nothing_is_uncertain() {
        let (masks, scores) = bumps();
        let estimator = Estimator::new(masks.view(), masks.view(), 60);
        let known: Vec<f64> = estimator.order().iter().map(|&mask| scores[mask]).collect();
        let all = estimator.predict(&known);
        assert_eq!(all.scores.to_vec(), scores);
        assert!(all.confidence.at_least > 0.99999, "{:?}", all.confidence);
    }

    #[test]
    fn the_order_has_each_mask_once_and_duplicates_far_apart() {
        let (mut masks, _) = bumps();
        let twin = masks.index_axis(Axis(0), 0).to_owned();
        masks.index_axis_mut(Axis(0), 1).assign(&twin);
        let order = Estimator::new(masks.view(), masks.view(), 60).order().to_vec();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..60).collect::<Vec<_>>());
        let position = |mask: usize| order.iter().position(|&other| other == mask).unwrap();
        assert!(position(0).abs_diff(position(1)) > 10, "{order:?}");
    }
}
