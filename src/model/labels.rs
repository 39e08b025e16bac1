//! Class labels: the names of a model's classes, one per line in `labels.txt`.
//!
//! [`Labels::resolve`] is the one place that decides which class a request names. It returns only
//! classes that the model has, whatever the file of labels says.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::spelling::nearest;
use crate::text::shortened;

/// Class labels by class index; empty for a model without labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    /// Labels after the model's last class, kept to say so to whoever names one.
    surplus: Vec<String>,
    /// Blank lines at the end, which may stand for unnamed classes.
    unnamed: usize,
}

impl Labels {
    /// Reads a file of labels. Line n names class n − 1; a blank line leaves its class unnamed, and
    /// blank lines at the end count only where the model has that many classes.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the file's path when it can't be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::parse(&crate::text::read(path)?))
    }

    /// Parses the text of a file of labels.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let named = text.trim_end();
        let lines = |text: &str| text.split(['\n', '\r']).count();
        if named.is_empty() {
            return Self::default();
        }
        let names = named.split(['\n', '\r']).map(|line| line.trim().to_owned());
        // The last line's end begins no line.
        let unnamed = (lines(&text) - lines(named)).saturating_sub(1);
        Self { unnamed, ..names.collect() }
    }

    /// The label of a class, if it has one.
    #[must_use]
    pub fn get(&self, class: usize) -> Option<&str> {
        self.names.get(class).map(String::as_str).filter(|label| !label.is_empty())
    }

    /// All labels in class order; an unnamed class has an empty one.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.names
    }

    /// The labels of a binary classifier with a single score, which camlens treats as two classes:
    /// negative, then positive. A single label names the positive class.
    #[must_use]
    pub fn for_binary(&self) -> Self {
        match self.names.as_slice() {
            [] => ["negative", "positive"].map(str::to_owned).into_iter().collect(),
            [positive] => [format!("not {positive}"), positive.clone()].into_iter().collect(),
            _ => self.clone(),
        }
    }

    /// Fits the labels to a model of `classes` classes: labels after the last class name nothing
    /// from then on. Returns a warning if there are more or fewer labels than classes.
    pub fn fit(&mut self, classes: usize) -> Option<String> {
        let lines = self.names.len();
        if lines == 0 || (lines..=lines + self.unnamed).contains(&classes) {
            return None;
        }
        self.surplus = self.names.split_off(classes.min(lines));
        let consequence = if lines > classes {
            "the lines after that name nothing"
        } else {
            "the last classes have no label"
        };
        Some(format!(
            "{lines} lines of labels name the model's {classes} classes: {consequence}, and every \
             label may stand at the wrong class"
        ))
    }

    /// Whether a text is a label, even one that names no class of the model.
    #[must_use]
    pub fn contains(&self, label: &str) -> bool {
        !label.is_empty() && self.names.iter().chain(&self.surplus).any(|name| name == label)
    }

    /// Resolves a class given by its index or its exact label, in a model of `classes` classes.
    ///
    /// A label that is itself a number is ambiguous. The index takes precedence, so such a label
    /// names a class only if no class has that index.
    ///
    /// # Errors
    /// [`Kind::UnknownClass`] with the range of indices, with similar labels, or with the indices
    /// of all classes that share the label.
    pub fn resolve(&self, target: &str, classes: usize) -> Result<usize> {
        let target = target.trim();
        let number = index(target).filter(|index| *index < classes);
        // "02" is a label, if there is one of this name.
        if let Some(index) = number.filter(|index| index.to_string() == target) {
            return Ok(index);
        }
        let is_named = |(_, name): &(usize, &String)| !name.is_empty() && *name == target;
        let named = self.names.iter().enumerate().take(classes).filter(is_named);
        let named: Vec<usize> = named.map(|(class, _)| class).collect();
        let detail = match named[..] {
            [class] => return Ok(class),
            [] => match number {
                Some(index) => return Ok(index),
                None => self.unknown(target, classes),
            },
            [..] => {
                let indices: Vec<String> = named.iter().map(usize::to_string).collect();
                let indices = indices.join(", ");
                let target = shortened(target);
                format!("classes {indices} share the label '{target}'; name one by its index")
            }
        };
        Err(Error::new(Kind::UnknownClass, detail))
    }

    /// The label of which this may be a misspelling, or of one of its synonyms.
    fn nearest(&self, wrong: &str) -> Option<&str> {
        let all = self.names.iter().flat_map(|label| label.split(',')).map(str::trim);
        let near = nearest(wrong, all)?;
        let of = |label: &&String| label.split(',').any(|synonym| synonym.trim() == near);
        self.names.iter().find(of).map(String::as_str)
    }

    /// Says why a text names no class.
    fn unknown(&self, full: &str, classes: usize) -> String {
        let target = &*shortened(full);
        let last = classes.saturating_sub(1);
        if is_integer(full) {
            return format!("there is no class {target}; the model has classes 0 to {last}");
        }
        if let Some(at) = self.surplus.iter().position(|label| label == full) {
            let line = self.names.len() + at + 1;
            return format!(
                "the label '{target}' is on line {line} of the labels and names no class; the \
                 model has classes 0 to {last}"
            );
        }
        if self.names.is_empty() {
            return format!(
                "there is no class '{target}': the model has no labels, so name a class by its \
                 index"
            );
        }
        if target.is_empty() {
            return "a class's name can't be empty".to_owned();
        }
        let wanted = full.to_lowercase();
        let similarity = |label: &&String| {
            let label = label.to_lowercase();
            let is_synonym = label.split(',').any(|synonym| synonym.trim() == wanted);
            let has_word = label.split(|mark: char| !mark.is_alphanumeric()).any(|w| w == wanted);
            (label != wanted, !is_synonym, !has_word, !label.contains(&wanted))
        };
        let mut similar: Vec<&String> =
            self.names.iter().filter(|label| !similarity(label).3).collect();
        similar.sort_by_key(similarity);
        similar.dedup();
        let mut similar: Vec<&str> = similar.into_iter().take(3).map(String::as_str).collect();
        if similar.is_empty() {
            similar.extend(self.nearest(full));
        }
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

/// A text of digits as a class index.
fn index(text: &str) -> Option<usize> {
    // The standard library's parser also accepts a plus sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether a text is a whole number, of either sign and any length.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromIterator<String> for Labels {
    fn from_iter<T: IntoIterator<Item = String>>(iter: T) -> Self {
        Self { names: iter.into_iter().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<const N: usize>(names: [&str; N]) -> Labels {
        names.map(str::to_owned).into_iter().collect()
    }

    const CATS: [&str; 3] = ["tabby cat", "tiger cat", "dog"];

    fn error(labels: &Labels, target: &str, classes: usize) -> String {
        labels.resolve(target, classes).unwrap_err().to_string()
    }

    #[test]
    fn a_class_is_resolved_by_index_or_exact_label() {
        assert_eq!(labels(CATS).resolve("2", 3).unwrap(), 2);
        assert_eq!(labels(CATS).resolve("002", 3).unwrap(), 2);
        assert_eq!(labels(CATS).resolve("tiger cat", 3).unwrap(), 1);
        assert_eq!(labels(CATS).resolve(" tiger cat\t", 3).unwrap(), 1);
    }

    #[test]
    fn an_unknown_class_is_an_error_that_lists_alternatives() {
        let error = |target: &str| error(&labels(CATS), target, 3);
        assert_eq!(error("7"), "there is no class 7; the model has classes 0 to 2");
        assert_eq!(error("3"), "there is no class 3; the model has classes 0 to 2");
        assert_eq!(error("-1"), "there is no class -1; the model has classes 0 to 2");
        assert_eq!(
            error("99999999999999999999999"),
            "there is no class 99999999999999999999999; the model has classes 0 to 2"
        );
        assert_eq!(
            error("CAT"),
            "there is no class with the label 'CAT'; similar labels: 'tabby cat', 'tiger cat'"
        );
        assert_eq!(error("+1"), "there is no class with the label '+1'");
        assert_eq!(error("Dog"), "there is no class with the label 'Dog'; similar labels: 'dog'");
    }

    #[test]
    fn the_nearest_label_is_proposed_first() {
        let labels = labels(["hotdog, red hot", "dogsled", "bulldog", "pug, dog", "Dog"]);
        assert_eq!(
            error(&labels, "dog", 5),
            "there is no class with the label 'dog'; similar labels: 'Dog', 'pug, dog', \
             'hotdog, red hot'"
        );
        assert_eq!(
            error(&labels, "red hott", 5), // typos: ignore
            "there is no class with the label 'red hott'; similar labels: 'hotdog, red hot'" // typos: ignore
        );
        let far = error(&labels, "umbrella", 5);
        assert_eq!(far, "there is no class with the label 'umbrella'");
    }

    #[test]
    fn a_label_that_is_a_number_names_its_class_where_no_class_has_that_index() {
        let labels = labels(["10", "20", "0", "-5"]);
        assert_eq!(labels.resolve("10", 4).unwrap(), 0);
        assert_eq!(labels.resolve("0", 4).unwrap(), 0);
        assert_eq!(labels.resolve("-5", 4).unwrap(), 3);
        assert_eq!(error(&labels, "30", 4), "there is no class 30; the model has classes 0 to 3");
    }

    #[test]
    fn an_exact_label_comes_before_a_number_with_zeros_in_front() {
        let labels = labels(["01", "02", "03"]);
        assert_eq!(labels.resolve("02", 3).unwrap(), 1);
        assert_eq!(labels.resolve("2", 3).unwrap(), 2);
        assert_eq!(labels.resolve("00", 3).unwrap(), 0);
    }

    #[test]
    fn a_label_that_several_classes_share_names_none_of_them() {
        let labels = labels(["crane", "heron", "crane", ""]);
        assert_eq!(
            error(&labels, "crane", 4),
            "classes 0, 2 share the label 'crane'; name one by its index"
        );
        assert_eq!(error(&labels, " ", 4), "a class's name can't be empty");
    }

    #[test]
    fn labels_after_the_last_class_name_nothing() {
        let mut labels = labels(["a", "b", "c", "d"]);
        assert_eq!(labels.fit(4), None);
        assert_eq!(
            labels.fit(2).unwrap(),
            "4 lines of labels name the model's 2 classes: the lines after that name nothing, and \
             every label may stand at the wrong class"
        );
        assert_eq!(labels.all(), ["a", "b"]);
        assert!(labels.contains("d"));
        assert_eq!(
            error(&labels, "d", 2),
            "the label 'd' is on line 4 of the labels and names no class; the model has classes 0 \
             to 1"
        );
    }

    #[test]
    fn fewer_labels_than_classes_are_reported() {
        let mut labels = labels(["a", "b"]);
        assert_eq!(
            labels.fit(4).unwrap(),
            "2 lines of labels name the model's 4 classes: the last classes have no label, and \
             every label may stand at the wrong class"
        );
        assert_eq!((labels.get(1), labels.get(3)), (Some("b"), None));
        assert_eq!(Labels::default().fit(4), None);
    }

    #[test]
    fn blank_lines_at_the_end_may_stand_for_unnamed_classes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            Labels::read(file.path()).unwrap()
        };
        assert_eq!(read("a\nb\n\n").fit(3), None);
        assert_eq!(read("a\nb\n\n").fit(2), None);
        assert!(read("a\nb\n").fit(3).is_some());
        assert!(read("a\nb\n\n").fit(4).is_some());
        assert_eq!(read("\n\n"), Labels::default());
        assert_eq!(read(""), Labels::default());
    }

    #[test]
    fn every_kind_of_line_end_separates_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        for text in
            ["a\nb\n\nc\n", "\u{feff}a\r\nb\r\n\r\nc\r\n \r\n\r\n", "a\rb\r\rc\r", "a \n b\n\n\tc"]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Labels::read(&path).unwrap().all(), ["a", "b", "", "c"], "{text:?}");
        }
    }
}
