//! Which number is explained: a class's score, how far it is above another's, or what speaks
//! against it.
//!
//! Every method explains some number that the model computes. A [`ClassTarget`] says which;
//! gradients are taken of it, and passes are weighed by it, so the methods need not
//! know whether one class was asked for or the difference between two.

use ndarray::{Array1, ArrayView1, ArrayView2};

/// `s_target`, or `s_target − s_contrast`, or the negative of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassTarget {
    /// The class that is explained.
    pub target: usize,
    /// The class that it is explained against.
    pub contrast: Option<usize>,
    /// Whether what speaks against it is looked for.
    pub negate: bool,
}

impl ClassTarget {
    /// The score of one class.
    #[must_use]
    pub const fn of(target: usize) -> Self {
        Self { target, contrast: None, negate: false }
    }

    /// The number for one row of scores or probabilities, `[classes]`.
    #[must_use]
    pub fn score(&self, row: ArrayView1<'_, f32>) -> f32 {
        let difference = row[self.target] - self.contrast.map_or(0.0, |class| row[class]);
        if self.negate { -difference } else { difference }
    }

    /// The numbers for many rows, `[K, classes]` → `[K]`.
    #[must_use]
    pub fn scores(&self, rows: ArrayView2<'_, f32>) -> Array1<f32> {
        rows.outer_iter().map(|row| self.score(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_goal_is_a_signed_difference_of_scores() {
        let rows = array![[1.0, 4.0, 2.0], [0.0, 0.0, 5.0]];
        assert_eq!(ClassTarget::of(1).scores(rows.view()), array![4.0, 0.0]);
        let rather = ClassTarget { contrast: Some(2), ..ClassTarget::of(1) };
        assert_eq!(rather.scores(rows.view()), array![2.0, -5.0]);
        assert_eq!(ClassTarget { negate: true, ..rather }.scores(rows.view()), array![-2.0, 5.0]);
    }
}
