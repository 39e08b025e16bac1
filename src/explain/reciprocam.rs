//! Recipro-CAM (Byun and Lee, arXiv 2209.14074).
//!
//! No gradient and no weights: the map's value at a place is what the tail of the model
//! says when that place of the activation is all it is given (equations 2 to 4), brought to
//! 0..1 by minimum and maximum.
//!
//! - `Paper`, as its authors' code has it: the place's features are spread over the 3×3 places
//!   around it by a Gaussian, 1/4 in the middle, 1/8 beside it, 1/16 at the corners, what falls
//!   outside the map is lost; the score is the class's probability.
//! - `OpenvinoXai`, as the package openvino-xai 1.1 has it: the place alone; the score is the
//!   logit.

use ndarray::{Array2, ArrayView3, ArrayViewMut3, Axis, s};

use super::goal::ClassTarget;
use super::methods::{MethodSpec, Needs};
use super::options::{Convention, Method, Normalize, ScoreKind};
use super::stage::MethodContext;
use crate::engine::PassScores;
use crate::error::Result;

pub(super) const ROW: MethodSpec = MethodSpec {
    method: Method::ReciproCam,
    name: "reciprocam",
    title: "Recipro-CAM",
    needs: Needs::Tail,
    conventions: &[Convention::Paper, Convention::OpenvinoXai],
    paper_score: ScoreKind::Probability,
    weighs_by_score: true,
    paper_normalize: Normalize::MinMax,
    cuts: false,
    maps,
    ..MethodSpec::GRADIENT
};

const GAUSSIAN: [[f32; 3]; 3] =
    [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]];

fn maps(stage: &MethodContext<'_>) -> Result<Vec<Array2<f32>>> {
    let (activation, convention) = (stage.activation, stage.options.convention);
    let (_, height, width) = activation.dim();
    let map = |answers: &PassScores, done: usize, goal: &ClassTarget| {
        let scores = goal.scores(stage.scores(answers).slice(s![..done, ..]));
        // Places to come look like the lowest so far.
        let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        Array2::from_shape_fn((height, width), |(y, x)| {
            scores.get(y * width + x).copied().unwrap_or(lowest)
        })
    };
    let answers = stage.tail(
        height * width,
        |pass, out| only(activation, (pass / width, pass % width), convention, out),
        |done, answers| map(answers, done, &stage.goals[0]),
    )?;
    Ok(stage.goals.iter().map(|goal| map(&answers, height * width, goal)).collect())
}

/// Writes an activation `[C, h, w]` of which only the place `(y, x)` is left.
pub fn only(
    activation: ArrayView3<'_, f32>,
    (y, x): (usize, usize),
    convention: Convention,
    mut out: ArrayViewMut3<'_, f32>,
) {
    out.fill(0.0);
    let place = activation.slice(s![.., y, x]);
    if convention == Convention::OpenvinoXai {
        out.slice_mut(s![.., y, x]).assign(&place);
        return;
    }
    for (row, shares) in GAUSSIAN.iter().enumerate() {
        for (column, &share) in shares.iter().enumerate() {
            let at = (y + row).checked_sub(1).zip((x + column).checked_sub(1));
            let Some((row, column)) = at
                .filter(|&(row, column)| row < out.len_of(Axis(1)) && column < out.len_of(Axis(2)))
            else {
                continue;
            };
            out.slice_mut(s![.., row, column]).zip_mut_with(&place, |out, &a| *out = a * share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn a_place_is_spread_over_its_neighbours() {
        let activation = Array3::from_shape_fn((1, 3, 3), |(_, y, x)| (y * 3 + x) as f32 * 16.0);
        let mut out = Array3::zeros((1, 3, 3));
        only(activation.view(), (1, 1), Convention::Paper, out.view_mut());
        assert_eq!(out, array![[[4.0, 8.0, 4.0], [8.0, 16.0, 8.0], [4.0, 8.0, 4.0]]]);
        only(activation.view(), (0, 2), Convention::Paper, out.view_mut());
        assert_eq!(out, array![[[0.0, 4.0, 8.0], [0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]]);
        only(activation.view(), (0, 2), Convention::OpenvinoXai, out.view_mut());
        assert_eq!(out, array![[[0.0, 0.0, 32.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]);
    }
}
