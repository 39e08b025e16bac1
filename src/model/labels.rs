//! Class labels: the names of a model's classes, one per line in `labels.txt`.

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Class labels by class index; empty for a model without labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Reads a file of labels. Line n names class n − 1; a blank line leaves its class unnamed, and
    /// blank lines at the end are ignored.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the file's path when it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(Kind::Setup, error.to_string()).at_path(path))?;
        Ok(Self(text.trim_end().lines().map(|line| line.trim().to_owned()).collect()))
    }

    /// The label of a class, if it has one.
    #[must_use]
    pub fn get(&self, class: usize) -> Option<&str> {
        self.0.get(class).map(String::as_str).filter(|label| !label.is_empty())
    }

    /// All labels in class order; an unnamed class has an empty one.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// The labels of a binary classifier with a single score, which camlens treats as two classes:
    /// negative, then positive. A single label names the positive class.
    #[must_use]
    pub fn for_binary(&self) -> Self {
        match self.0.as_slice() {
            [] => Self(vec!["negative".to_owned(), "positive".to_owned()]),
            [positive] => Self(vec![format!("not {positive}"), positive.clone()]),
            _ => self.clone(),
        }
    }

    /// The class with exactly this label; the first one if several classes share it.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|candidate| candidate == label)
    }

    /// Resolves a class given by its index or its exact label, in a model of `classes` classes.
    ///
    /// # Errors
    /// [`Kind::UnknownClass`] with the range of indices or with similar labels.
    pub fn resolve(&self, target: &str, classes: usize) -> Result<usize> {
        // A label that is itself a number would be ambiguous; the index takes precedence, as the
        // API's documentation says.
        if let Ok(index) = target.parse::<usize>() {
            return if index < classes {
                Ok(index)
            } else {
                let detail = format!(
                    "there is no class {index}; the model has classes 0 to {}",
                    classes.saturating_sub(1)
                );
                Err(Error::new(Kind::UnknownClass, detail))
            };
        }
        self.find(target).ok_or_else(|| Error::new(Kind::UnknownClass, self.unknown_label(target)))
    }

    fn unknown_label(&self, target: &str) -> String {
        if self.0.is_empty() {
            return format!(
                "there is no class '{target}': the model has no labels, so name a class by its \
                 index"
            );
        }
        let is_similar = |label: &&String| label.to_lowercase().contains(&target.to_lowercase());
        let similar: Vec<&str> =
            self.0.iter().filter(is_similar).take(3).map(String::as_str).collect();
        if similar.is_empty() {
            format!("there is no class with the label '{target}'")
        } else {
            format!(
                "there is no class with the label '{target}'; similar labels: '{}'",
                similar.join("', '")
            )
        }
    }
}

impl FromIterator<String> for Labels {
    fn from_iter<T: IntoIterator<Item = String>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        ["tabby cat", "tiger cat", "dog"].map(str::to_owned).into_iter().collect()
    }

    #[test]
    fn a_class_is_resolved_by_index_or_exact_label() {
        assert_eq!(labels().resolve("2", 3).unwrap(), 2);
        assert_eq!(labels().resolve("tiger cat", 3).unwrap(), 1);
    }

    #[test]
    fn an_unknown_class_is_an_error_that_lists_alternatives() {
        let error = |target: &str| labels().resolve(target, 3).unwrap_err().to_string();
        assert_eq!(error("7"), "there is no class 7; the model has classes 0 to 2");
        assert_eq!(
            error("CAT"),
            "there is no class with the label 'CAT'; similar labels: 'tabby cat', 'tiger cat'"
        );
        assert_eq!(error("-1"), "there is no class with the label '-1'");
    }
}
