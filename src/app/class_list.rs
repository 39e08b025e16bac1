//! Reads the `target` option: a list of classes such as `281,Egyptian cat`.

use super::comma_list::split;
use crate::error::{Error, Kind, Result};
use crate::model::Labels;

/// The largest number of classes in one request.
pub const MAX_TARGETS: usize = 10;

/// The classes in a list of indices or exact labels, separated by commas.
///
/// # Errors
/// [`Kind::Option`] for too many classes, a repeated class or an empty entry, and the errors of
/// [`Labels::resolve`].
pub fn targets(labels: &Labels, classes: usize, list: &str) -> Result<Vec<usize>> {
    let invalid = |detail: String| Err(Error::new(Kind::Option, detail).about("target"));
    let mut targets = Vec::new();
    for name in split(list, |name| labels.contains(name)) {
        if name.is_empty() {
            return invalid("option 'target' has an empty entry between its commas".into());
        }
        if targets.len() == MAX_TARGETS {
            return invalid(format!("option 'target' takes {MAX_TARGETS} classes at most"));
        }
        let class = labels.resolve(name, classes)?;
        if targets.contains(&class) {
            return invalid(format!("option 'target' names class {class} twice"));
        }
        targets.push(class);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_separated_by_commas_that_are_not_part_of_a_label() {
        let labels: Labels =
            ["tench, Tinca tinca", "cat", "dog"].map(str::to_owned).into_iter().collect();
        let of = |list: &str| targets(&labels, 3, list).map_err(|error| error.to_string());
        assert_eq!(of("dog"), Ok(vec![2]));
        assert_eq!(of("2, tench, Tinca tinca,cat"), Ok(vec![2, 0, 1]));
        assert_eq!(of("cat,1").unwrap_err(), "option 'target' names class 1 twice");
        assert_eq!(
            of("cat,,dog").unwrap_err(),
            "option 'target' has an empty entry between its commas"
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
}
