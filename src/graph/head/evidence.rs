//! What a few runs show about an output: probabilities, or values without bounds.
//!
//! The load-time probe runs the model on images that have nothing in common: noise, its negative,
//! noise a hundred times as strong, and zeros. Logits lie in 0..1 on all of them by an unlikely
//! chance only; probabilities always do, whatever computed them.

use std::collections::HashMap;

/// By how much a value may miss 0..1, and a sum 1: what a 16-bit softmax rounds.
const TOLERANCE: f32 = 2e-3;

/// The logit beyond which a classifier is 99.99 % sure: ln(0.9999 / 0.0001).
const SURE: f32 = 9.21;

/// The values of a model's float outputs in a few runs, one image each.
#[derive(Clone, Debug, Default)]
pub struct OutputSamples {
    /// For each output its runs, those on images of usual strength first.
    runs: HashMap<String, Vec<Vec<f32>>>,
    /// How many runs had images of usual strength.
    usual: usize,
}

impl OutputSamples {
    /// Adds an output's values for another image. Values that are not finite say nothing.
    pub fn add(&mut self, output: &str, values: impl IntoIterator<Item = f32>) {
        let values: Vec<f32> = values.into_iter().collect();
        if values.iter().all(|value| value.is_finite()) {
            self.runs.entry(output.to_owned()).or_default().push(values);
        }
    }

    /// Says that the runs so far had images of usual strength, and that those to come do not.
    pub fn end_usual(&mut self) {
        self.usual = self.runs.values().map(Vec::len).max().unwrap_or(0);
    }

    /// The outputs for which the runs so far leave open what they hold: all values in 0..1, or a
    /// single one for each image.
    pub fn undecided(&self) -> impl Iterator<Item = &str> {
        let is_open =
            |runs: &Vec<Vec<f32>>| all_within(runs) || runs.iter().all(|run| run.len() == 1);
        self.runs.iter().filter(move |(_, runs)| is_open(runs)).map(|(name, _)| name.as_str())
    }

    /// True if an output holds probabilities: all values lie in 0..1, and they sum to 1 for each
    /// image or differ between images. Rows of length 1 are features and no probabilities.
    #[must_use]
    pub fn are_probabilities(&self, output: &str) -> bool {
        let runs = self.runs_of(output);
        self.sum_to_one(output)
            || (all_within(runs)
                && runs.iter().any(|run| *run != runs[0])
                && !self.are_unit_vectors(output))
    }

    /// True if all values lie in 0..1 and sum to 1 for each image.
    #[must_use]
    pub fn sum_to_one(&self, output: &str) -> bool {
        let runs = self.runs_of(output);
        let sums_to_one =
            |run: &Vec<f32>| run.len() > 1 && (run.iter().sum::<f32>() - 1.0).abs() <= TOLERANCE;
        !runs.is_empty() && all_within(runs) && runs.iter().all(sums_to_one)
    }

    /// True if the values of each image, taken as a vector, have the length 1, as normalised
    /// features have. Zeros, which have no direction, are no objection.
    #[must_use]
    pub fn are_unit_vectors(&self, output: &str) -> bool {
        let runs = self.runs_of(output);
        let length = |run: &Vec<f32>| run.iter().map(|value| value * value).sum::<f32>().sqrt();
        let is_unit = |run: &Vec<f32>| run.len() > 1 && (length(run) - 1.0).abs() <= TOLERANCE;
        let is_zero = |run: &Vec<f32>| run.iter().all(|value| *value == 0.0);
        runs.iter().any(is_unit)
            && runs.iter().all(|run| is_unit(run) || is_zero(run))
            && !self.sum_to_one(output)
    }

    /// The least and the largest value of an output, if some value lies outside 0..1.
    #[must_use]
    pub fn outside_unit(&self, output: &str) -> Option<[f32; 2]> {
        let runs = self.runs_of(output);
        let values = || runs.iter().flatten().copied();
        let extent =
            [values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max)];
        (!all_within(runs)).then_some(extent)
    }

    fn runs_of(&self, output: &str) -> &[Vec<f32>] {
        self.runs.get(output).map_or(&[][..], Vec::as_slice)
    }

    /// True if a single score, taken for a logit, would be nearly certain of one and the same class
    /// on zeros and on all noise. A classifier is not; an age or a price is.
    #[must_use]
    pub fn is_certain_of_noise(&self, output: &str) -> bool {
        let runs = self.runs_of(output);
        let usual: Vec<f32> = runs.iter().take(self.usual).flatten().copied().collect();
        !usual.is_empty()
            && (usual.iter().all(|&value| value > SURE) || usual.iter().all(|&value| value < -SURE))
    }
}

fn all_within(runs: &[Vec<f32>]) -> bool {
    runs.iter().flatten().all(|value| (-TOLERANCE..=1.0 + TOLERANCE).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(runs: &[&[f32]], strong: &[&[f32]]) -> OutputSamples {
        let mut samples = OutputSamples::default();
        runs.iter().for_each(|run| samples.add("y", run.iter().copied()));
        samples.end_usual();
        strong.iter().for_each(|run| samples.add("y", run.iter().copied()));
        samples
    }

    #[test]
    fn rows_that_sum_to_1_are_probabilities_even_where_they_never_change() {
        assert!(samples(&[&[0.2, 0.8], &[0.2, 0.8]], &[]).are_probabilities("y"));
        assert!(!samples(&[&[0.2, 0.2], &[0.2, 0.2]], &[]).are_probabilities("y"));
    }

    #[test]
    fn values_in_0_to_1_that_change_are_independent_probabilities() {
        assert!(samples(&[&[0.2, 0.9], &[0.1, 0.8]], &[]).are_probabilities("y"));
        assert!(samples(&[&[0.2], &[0.9]], &[&[1.0]]).are_probabilities("y"));
    }

    #[test]
    fn a_strong_image_drives_logits_out_of_0_to_1() {
        let small: [&[f32]; 2] = [&[0.2, 0.9], &[0.1, 0.8]];
        assert!(samples(&small, &[]).undecided().next().is_some());
        assert!(!samples(&small, &[&[20.0, 90.0]]).are_probabilities("y"));
        assert!(samples(&[&[0.5, -0.1]], &[]).undecided().next().is_none());
    }

    #[test]
    fn a_quantity_is_certain_of_noise_and_a_logit_is_not() {
        assert!(samples(&[&[31.0], &[28.5], &[40.0]], &[&[-900.0]]).is_certain_of_noise("y"));
        assert!(samples(&[&[-31.0], &[-28.5]], &[]).is_certain_of_noise("y"));
        assert!(!samples(&[&[31.0], &[-28.5]], &[]).is_certain_of_noise("y"));
        assert!(!samples(&[&[4.0], &[5.0]], &[&[500.0]]).is_certain_of_noise("y"));
        assert!(!samples(&[], &[]).is_certain_of_noise("y"));
    }

    #[test]
    fn values_that_are_not_finite_are_no_evidence() {
        let samples = samples(&[&[0.2, 0.8]], &[&[f32::NAN, 1.0]]);
        assert!(samples.are_probabilities("y"));
    }
}
