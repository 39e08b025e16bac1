//! The names of a model's classes, one a line in `labels.txt`.

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Class names by index; empty where a model has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Reads a file of labels. Line n names class n − 1; blank lines at the end don't count.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the file can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(Kind::Setup, format!("{}: {error}", path.display())))?;
        Ok(Self(text.trim_end().lines().map(|line| line.trim().to_owned()).collect()))
    }

    /// The name of a class; `None` where it has none.
    #[must_use]
    pub fn get(&self, class: usize) -> Option<&str> {
        self.0.get(class).map(String::as_str).filter(|label| !label.is_empty())
    }

    /// All names, in order.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// The names of the two classes of a model with one score: the negative first. One name is the
    /// positive's.
    #[must_use]
    pub fn of_two(&self) -> Self {
        match self.0.as_slice() {
            [] => Self(vec!["negative".to_owned(), "positive".to_owned()]),
            [positive] => Self(vec![format!("not {positive}"), positive.clone()]),
            _ => self.clone(),
        }
    }

    /// The class with exactly this name; the first, where several share it.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|known| known == label)
    }

    /// The class that a request names, by its index or its exact label.
    ///
    /// # Errors
    /// [`Kind::UnknownClass`] saying what there is.
    pub fn resolve(&self, target: &str, classes: usize) -> Result<usize> {
        // A label that is a number would be ambiguous; the index wins, as the contract lists it
        // first.
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
        self.find(target).ok_or_else(|| Error::new(Kind::UnknownClass, self.unknown(target)))
    }

    fn unknown(&self, target: &str) -> String {
        if self.0.is_empty() {
            return format!(
                "there is no class '{target}': the model has no labels, so give the index of a class"
            );
        }
        let near = |label: &&String| label.to_lowercase().contains(&target.to_lowercase());
        let alike: Vec<&str> = self.0.iter().filter(near).take(3).map(String::as_str).collect();
        if alike.is_empty() {
            format!("there is no class with the label '{target}'")
        } else {
            format!(
                "there is no class with the label '{target}'; near it: '{}'",
                alike.join("', '")
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
    fn a_class_is_found_by_index_or_exact_label() {
        assert_eq!(labels().resolve("2", 3).unwrap(), 2);
        assert_eq!(labels().resolve("tiger cat", 3).unwrap(), 1);
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let say = |target: &str| labels().resolve(target, 3).unwrap_err().to_string();
        assert_eq!(say("7"), "there is no class 7; the model has classes 0 to 2");
        assert_eq!(
            say("CAT"),
            "there is no class with the label 'CAT'; near it: 'tabby cat', 'tiger cat'"
        );
        assert_eq!(say("-1"), "there is no class with the label '-1'");
    }
}
