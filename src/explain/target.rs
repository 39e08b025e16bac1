//! The scalar that a map explains: a class score, a difference of two scores, or its negation.
//!
//! Gradients are taken of this scalar and passes are weighted by it, so a method need not know
//! whether one class or the contrast of two is explained.

use ndarray::{Array1, ArrayView1, ArrayView2};

/// `s_class`, or `s_class − s_contrast`, or the negation of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassTarget {
    /// The class that is explained.
    pub class: usize,
    /// The class whose score is subtracted.
    pub contrast: Option<usize>,
    /// Whether the sign is flipped, to explain what lowers the score.
    pub negate: bool,
}

impl ClassTarget {
    /// The score of one class.
    #[must_use]
    pub const fn new(class: usize) -> Self {
        Self { class, contrast: None, negate: false }
    }

    /// The target's value for one row of scores or probabilities, `[classes]`.
    #[must_use]
    pub fn score(&self, row: ArrayView1<'_, f32>) -> f32 {
        let difference = row[self.class] - self.contrast.map_or(0.0, |class| row[class]);
        if self.negate { -difference } else { difference }
    }

    /// The target's values for many rows, `[K, classes]` → `[K]`.
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
    fn a_target_is_a_signed_difference_of_scores() {
        let rows = array![[1.0, 4.0, 2.0], [0.0, 0.0, 5.0]];
        assert_eq!(ClassTarget::new(1).scores(rows.view()), array![4.0, 0.0]);
        let contrasted = ClassTarget { contrast: Some(2), ..ClassTarget::new(1) };
        assert_eq!(contrasted.scores(rows.view()), array![2.0, -5.0]);
        let negated = ClassTarget { negate: true, ..contrasted };
        assert_eq!(negated.scores(rows.view()), array![-2.0, 5.0]);
    }
}
