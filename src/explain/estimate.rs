//! All of Score-CAM's weights from some of its passes, and how far to trust the map that they make.
//!
//! What the model says of an image seen through one mask tells much about a similar
//! mask. So the answers to all masks are taken for one Gaussian process (Rasmussen and
//! Williams, Gaussian Processes for Machine Learning, chapter 2): an unknown constant, and around
//! it numbers that are the more alike the more alike their masks are. Three things follow from it:
//!
//! - which masks to pass first: always the one that lessens the map's variance most; the answers
//!   have no part in that, so the order is known before the first pass;
//! - what the answers to the others will be: their conditional means;
//! - how the finished map may still differ: maps are drawn from what is left of the variance, whose
//!   scale is set by leaving out each known answer in turn and predicting it from the rest.
//!
//! The correlation between the map of the means and the drawn ones is the estimate that is told.

use ndarray::{Array1, Array2, ArrayView1, ArrayView3, Axis, s};
use serde::Serialize;

use super::chance::Chance;

/// Variance of what two equal masks' answers would differ by, as a part of the process's.
const NUGGET: f64 = 0.01;
/// Maps are compared in so many rows and columns at most.
const COARSE: usize = 16;
/// Maps drawn to see how they differ.
const DRAWS: usize = 128;

/// How well a map from some passes agrees with the map from all: Pearson's correlation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Confidence {
    /// As likely to be exceeded as not.
    pub correlation: f64,
    /// Exceeded nine times in ten, if the estimate is right.
    pub at_least: f64,
}

/// A set of masks, each with the map that its answer is the weight of.
pub struct Estimator {
    /// `[K, places]`.
    maps: Array2<f64>,
    /// How alike the answers to two masks are, `[K, K]`, 1 on the diagonal.
    kernel: Array2<f64>,
    /// The kernel times the maps, `[K, places]`.
    spread: Array2<f64>,
    /// Masks in the order in which passing them tells most.
    order: Vec<usize>,
}

/// The answers to all masks.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// `[K]`; those that were given as they were.
    pub answers: Array1<f64>,
    /// How far to trust the map that they make.
    pub confidence: Confidence,
}

impl Estimator {
    /// `masks` are the channels whose masks count, `maps` what each is the weight of, both `[K, h,
    /// w]`; `count` of them are put in order.
    #[must_use]
    pub fn new(masks: ArrayView3<'_, f32>, maps: ArrayView3<'_, f32>, count: usize) -> Self {
        let mut shapes = coarse(masks);
        for mut shape in shapes.rows_mut() {
            let low = shape.iter().copied().fold(f64::INFINITY, f64::min);
            let high = shape.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = if high > low { high - low } else { 1.0 };
            shape.mapv_inplace(|value| (value - low) / range);
        }
        let (maps, kernel) = (coarse(maps), likeness(&shapes));
        let spread = kernel.dot(&maps);
        let order = order(&kernel, &maps, &spread, count);
        Self { maps, kernel, spread, order }
    }

    /// The masks to pass, the most telling first.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Predicts all answers from those to the first masks of the order, at least one.
    #[must_use]
    pub fn predict(&self, known: &[f64]) -> Predicted {
        let first = &self.order[..known.len().min(self.order.len())];
        let answers = Array1::from_iter(known.iter().copied().take(first.len()));
        let columns = self.kernel.select(Axis(1), first);
        let among = columns.select(Axis(0), first);
        let inverse = inverse(&(&among + &(Array2::<f64>::eye(first.len()) * NUGGET)));

        // The constant is unknown: its best value, and what not knowing it adds to the variance.
        let ones = inverse.sum_axis(Axis(1));
        let total = ones.sum();
        let mean = ones.dot(&answers) / total;
        let residual = inverse.dot(&(&answers - mean));
        let least = answers.iter().copied().fold(0.0, f64::min);
        // Probabilities are not below 0, differences may be.
        let mut predicted = columns.dot(&residual).mapv_into(|value| (value + mean).max(least));
        first.iter().zip(&answers).for_each(|(&mask, &answer)| predicted[mask] = answer);

        // Each known answer against its prediction from the rest sets the scale of the variance.
        let left_out = |index: usize| {
            let precision = inverse[[index, index]] - ones[index] * ones[index] / total;
            if precision > 1e-12 { residual[index] * residual[index] / precision } else { 0.0 }
        };
        let scale = (0..first.len()).map(left_out).sum::<f64>() / first.len() as f64;
        let covariance = self.covariance(first, &among, &inverse, ones.view(), total) * scale;
        let map = predicted.dot(&self.maps);
        Predicted {
            answers: predicted,
            confidence: confidence(&map, &covariance, self.floor() * scale),
        }
    }

    /// A variance of the map that is nothing but rounding.
    fn floor(&self) -> f64 {
        let prior =
            self.maps.iter().zip(&self.spread).map(|(map, spread)| map * spread).sum::<f64>();
        1e-10 * prior / self.maps.ncols().max(1) as f64
    }

    /// What is unknown of the map `Σ_k answer_k · map_k`: its covariance, `[places, places]`, but
    /// for the scale.
    fn covariance(
        &self,
        first: &[usize],
        among: &Array2<f64>,
        inverse: &Array2<f64>,
        ones: ArrayView1<'_, f64>,
        total: f64,
    ) -> Array2<f64> {
        // The known answers' maps are certain: only the others', X − X_S, count.
        let (known, spread) =
            (self.maps.select(Axis(0), first), self.spread.select(Axis(0), first));
        let shared = known.t().dot(&spread);
        let own = known.t().dot(among).dot(&known);
        let prior = self.maps.t().dot(&self.spread) - &shared - shared.t() + own;
        let learnt = spread.t().to_owned() - known.t().dot(among);
        let unknown = self.maps.sum_axis(Axis(0)) - known.sum_axis(Axis(0));
        let constant = (unknown - learnt.dot(&ones)).insert_axis(Axis(1));
        prior - learnt.dot(inverse).dot(&learnt.t()) + constant.dot(&constant.t()) / total
    }
}

/// Maps `[K, h, w]` as rows of numbers, averaged to a coarser grid where they are fine.
fn coarse(maps: ArrayView3<'_, f32>) -> Array2<f64> {
    let (count, height, width) = maps.dim();
    let (down, across) = (height.div_ceil(COARSE).max(1), width.div_ceil(COARSE).max(1));
    let (rows, columns) = (height.div_ceil(down), width.div_ceil(across));
    let mut coarse = Array2::zeros((count, rows * columns));
    for (map, mut line) in maps.outer_iter().zip(coarse.rows_mut()) {
        for (place, value) in line.iter_mut().enumerate() {
            let (top, left) = (place / columns * down, place % columns * across);
            let (bottom, right) = ((top + down).min(height), (left + across).min(width));
            *value = map.slice(s![top..bottom, left..right]).mapv(f64::from).mean().unwrap_or(0.0);
        }
    }
    coarse
}

/// `exp(−√(mean (a − b)²))` of every two masks, which runs from 1 to 1/e.
fn likeness(shapes: &Array2<f64>) -> Array2<f64> {
    let products = shapes.dot(&shapes.t());
    let places = shapes.ncols().max(1) as f64;
    Array2::from_shape_fn(products.dim(), |(a, b)| {
        let square = products[[a, a]] + products[[b, b]] - 2.0 * products[[a, b]];
        (-(square.max(0.0) / places).sqrt()).exp()
    })
}

/// Masks one after another, each the one whose answer lessens the map's variance most.
///
/// What is left of the kernel after each is K − L·Lᵀ, as in a Cholesky factorisation with pivots;
/// only its diagonal and its product with the maps are kept.
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
        let told = column.dot(maps);
        for (index, &value) in column.iter().enumerate() {
            left.row_mut(index).scaled_add(-value, &told);
            variance[index] = (variance[index] - value * value).max(0.0);
        }
        factor.column_mut(step).assign(&column);
        is_taken[mask] = true;
        order.push(mask);
    }
    order
}

/// The lower factor L of `matrix = L·Lᵀ`; of a direction whose variance is not above `floor`
/// nothing is left.
fn cholesky(matrix: &Array2<f64>, floor: f64) -> Array2<f64> {
    let size = matrix.nrows();
    let mut factor = Array2::<f64>::zeros((size, size));
    for row in 0..size {
        for column in 0..=row {
            let known = factor.slice(s![row, ..column]).dot(&factor.slice(s![column, ..column]));
            let rest = matrix[[row, column]] - known;
            let pivot = factor[[column, column]];
            factor[[row, column]] = match row == column {
                true if rest > floor => rest.sqrt(),
                false if pivot > 0.0 => rest / pivot,
                _ => 0.0,
            };
        }
    }
    factor
}

/// The inverse of a symmetric matrix that is positive by more than rounding.
fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let factor = cholesky(matrix, 0.0);
    let size = factor.nrows();
    let mut lower = Array2::<f64>::zeros((size, size));
    for column in 0..size {
        lower[[column, column]] = 1.0 / factor[[column, column]];
        for row in column + 1..size {
            let known =
                factor.slice(s![row, column..row]).dot(&lower.slice(s![column..row, column]));
            lower[[row, column]] = -known / factor[[row, row]];
        }
    }
    lower.t().dot(&lower)
}

/// Draws maps around `map` and sees how they correlate with it; what is below 0 is cut off, as in
/// the end.
fn confidence(map: &Array1<f64>, covariance: &Array2<f64>, floor: f64) -> Confidence {
    let factor = cholesky(covariance, floor);
    let cut = map.mapv(|value| value.max(0.0));
    let mut chance = Chance::new(0);
    let mut correlations: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let normal: Array1<f64> = (0..map.len()).map(|_| normal(&mut chance)).collect();
            let drawn = (map + &factor.dot(&normal)).mapv_into(|value| value.max(0.0));
            correlation(cut.view(), drawn.view())
        })
        .collect();
    correlations.sort_by(f64::total_cmp);
    Confidence { correlation: correlations[DRAWS / 2], at_least: correlations[DRAWS / 10] }
}

/// From an even draw to a normal one, by Box and Muller.
fn normal(chance: &mut Chance) -> f64 {
    let (radius, angle) = (1.0 - chance.unit(), chance.unit());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Pearson's correlation; 1 where both are flat, 0 where one is.
fn correlation(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    let centred = |values: ArrayView1<'_, f64>| &values - values.mean().unwrap_or(0.0);
    let (a, b) = (centred(a), centred(b));
    let (of_a, of_b) = (a.dot(&a), b.dot(&b));
    match (of_a > 0.0, of_b > 0.0) {
        (true, true) => a.dot(&b) / (of_a * of_b).sqrt(),
        (false, false) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// Bumps at 60 places, and answers that change slowly from place to place.
    fn bumps() -> (Array3<f32>, Vec<f64>) {
        let centre = |k: usize| ((k * 7 % 12) as f64, (k * 5 % 11) as f64);
        let masks = Array3::from_shape_fn((60, 12, 11), |(k, y, x)| {
            let (cy, cx) = centre(k);
            let square = (y as f64 - cy).powi(2) + (x as f64 - cx).powi(2);
            (-square / (4.0 + (k % 4) as f64)).exp() as f32
        });
        let answer = |k: usize| {
            let (cy, cx) = centre(k);
            0.1 + (-((cy - 3.0).powi(2) + (cx - 6.0).powi(2)) / 12.0).exp()
        };
        (masks, (0..60).map(answer).collect())
    }

    fn true_correlation(masks: &Array3<f32>, answers: &[f64], predicted: &Array1<f64>) -> f64 {
        let maps = coarse(masks.view());
        let map =
            |weights: ArrayView1<'_, f64>| weights.dot(&maps).mapv_into(|value| value.max(0.0));
        correlation(map(Array1::from(answers.to_vec()).view()).view(), map(predicted.view()).view())
    }

    #[test]
    fn more_passes_tell_more_and_the_estimate_knows() {
        let (masks, answers) = bumps();
        let estimator = Estimator::new(masks.view(), masks.view(), 60);
        let known: Vec<f64> = estimator.order().iter().map(|&mask| answers[mask]).collect();
        let few = estimator.predict(&known[..10]);
        let many = estimator.predict(&known[..40]);
        let (of_few, of_many) = (
            true_correlation(&masks, &answers, &few.answers),
            true_correlation(&masks, &answers, &many.answers),
        );
        assert!(of_few > 0.8 && of_many > 0.995 && of_many > of_few, "{of_few}, {of_many}");
        assert!(many.confidence.correlation > few.confidence.correlation);
        assert!(few.confidence.at_least <= few.confidence.correlation);
        assert!(few.confidence.at_least <= of_few && many.confidence.at_least <= of_many);
    }

    #[test]
    fn with_all_answers_nothing_is_left_to_estimate() {
        let (masks, answers) = bumps();
        let estimator = Estimator::new(masks.view(), masks.view(), 60);
        let known: Vec<f64> = estimator.order().iter().map(|&mask| answers[mask]).collect();
        let all = estimator.predict(&known);
        assert_eq!(all.answers.to_vec(), answers);
        assert!(all.confidence.at_least > 0.99999, "{:?}", all.confidence);
    }

    #[test]
    fn the_order_takes_each_mask_once_and_the_telling_before_its_twin() {
        let (mut masks, _) = bumps();
        let twin = masks.index_axis(Axis(0), 0).to_owned();
        masks.index_axis_mut(Axis(0), 1).assign(&twin);
        let order = Estimator::new(masks.view(), masks.view(), 60).order().to_vec();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..60).collect::<Vec<_>>());
        let place = |mask: usize| order.iter().position(|&other| other == mask).unwrap();
        assert!(place(0).abs_diff(place(1)) > 10, "{order:?}");
    }

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let matrix =
            Array2::from_shape_fn(
                (5, 5),
                |(a, b)| if a == b { 3.0 } else { 1.0 / (1 + a + b) as f64 },
            );
        let product = inverse(&matrix).dot(&matrix);
        assert!((product - Array2::<f64>::eye(5)).iter().all(|value| value.abs() < 1e-12));
    }
}
