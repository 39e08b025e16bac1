//! Which number is explained: a class's score, how far it is above another's, or what speaks
//! against it.
//!
//! Every method explains some number that the model computes. A [`ClassTarget`] says which;
//! gradients are taken of it, and passes are weighed by it, so the methods need not
//! know whether one class was asked for or the difference between two.

use ndarray::{Array1, ArrayView1, ArrayView2};

use super::names::names;
use crate::error::{Error, Kind, Result};
use crate::model::Labels;

/// Classes that one request may name.
pub const MOST_TARGETS: usize = 10;

/// The classes that an option names, by index or exact label, with commas between them:
/// `281,Egyptian cat`.
///
/// # Errors
/// [`Kind::Option`] where there are too many, one stands twice or a place is empty, and those of
/// [`Labels::resolve`].
pub fn targets(labels: &Labels, classes: usize, asked: &str) -> Result<Vec<usize>> {
    let invalid = |detail: String| Err(Error::new(Kind::Option, detail).about("target"));
    let mut targets = Vec::new();
    for name in names(asked, |name| labels.find(name).is_some()) {
        if name.is_empty() {
            return invalid("option 'target' has an empty place between its commas".into());
        }
        if targets.len() == MOST_TARGETS {
            return invalid(format!("option 'target' takes {MOST_TARGETS} classes at most"));
        }
        let class = labels.resolve(name, classes)?;
        if targets.contains(&class) {
            return invalid(format!("option 'target' names class {class} twice"));
        }
        targets.push(class);
    }
    Ok(targets)
}

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
    fn several_classes_are_named_with_commas() {
        let labels: Labels =
            ["tench, Tinca tinca", "cat", "dog"].map(str::to_owned).into_iter().collect();
        let of = |asked: &str| targets(&labels, 3, asked).map_err(|error| error.to_string());
        assert_eq!(of("dog"), Ok(vec![2]));
        assert_eq!(of("2, tench, Tinca tinca,cat"), Ok(vec![2, 0, 1]));
        assert_eq!(of("cat,1").unwrap_err(), "option 'target' names class 1 twice");
        assert_eq!(
            of("cat,,dog").unwrap_err(),
            "option 'target' has an empty place between its commas"
        );
        assert_eq!(
            of("cat,tench").unwrap_err(),
            "there is no class with the label 'tench'; similar labels: 'tench, Tinca tinca'"
        );
        assert_eq!(of("cat,3").unwrap_err(), "there is no class 3; the model has classes 0 to 2");
        let many = (0..11).map(|class| class.to_string()).collect::<Vec<_>>().join(",");
        let refused = targets(&labels, 20, &many).unwrap_err();
        assert_eq!((refused.kind(), refused.option()), (Kind::Option, Some("target")));
        assert_eq!(refused.to_string(), "option 'target' takes 10 classes at most");
    }

    #[test]
    fn a_goal_is_a_signed_difference_of_scores() {
        let rows = array![[1.0, 4.0, 2.0], [0.0, 0.0, 5.0]];
        assert_eq!(ClassTarget::of(1).scores(rows.view()), array![4.0, 0.0]);
        let rather = ClassTarget { contrast: Some(2), ..ClassTarget::of(1) };
        assert_eq!(rather.scores(rows.view()), array![2.0, -5.0]);
        assert_eq!(ClassTarget { negate: true, ..rather }.scores(rows.view()), array![-2.0, 5.0]);
    }
}
