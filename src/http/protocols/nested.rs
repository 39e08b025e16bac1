//! Nested JSON arrays of numbers or texts, read straight into flat vectors.
//!
//! A generic JSON tree takes 32 bytes per number and one allocation per row: an image of numbers
//! would take ten times the memory of its text.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

/// More axes than any tensor that is accepted.
const MAX_DEPTH: usize = 6;

/// The most texts: each is an image. An empty one takes eight times its own length in memory.
const MAX_TEXTS: usize = super::bounded::MAX_LIST;

/// A nested array whose rows have equal lengths.
#[derive(Debug, Default, PartialEq)]
pub(in crate::http) struct Nested {
    /// The length of each axis.
    pub(in crate::http) shape: Vec<usize>,
    /// The numbers in row-major order.
    pub(in crate::http) numbers: Vec<f32>,
    /// The texts in row-major order.
    pub(in crate::http) texts: Vec<String>,
}

impl Nested {
    /// Reads an array whose opening bracket has been read.
    pub(super) fn from_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        let mut builder = Builder::default();
        Level { builder: &mut builder, depth: 0 }.visit_seq(seq)?;
        builder.finish().map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Nested;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Nested, A::Error> {
                Nested::from_seq(seq)
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

#[derive(Default)]
struct Builder {
    /// The length of the first finished array at each depth.
    lengths: Vec<Option<usize>>,
    leaf_depth: Option<usize>,
    numbers: Vec<f32>,
    texts: Vec<String>,
}

const RAGGED: &str = "a nested array must have rows of equal length";

impl Builder {
    fn leaf(&mut self, depth: usize) -> Result<(), &'static str> {
        if *self.leaf_depth.get_or_insert(depth) == depth { Ok(()) } else { Err(RAGGED) }
    }

    fn close(&mut self, depth: usize, length: usize) -> Result<(), &'static str> {
        if self.lengths.len() <= depth {
            self.lengths.resize(depth + 1, None);
        }
        if *self.lengths[depth].get_or_insert(length) == length { Ok(()) } else { Err(RAGGED) }
    }

    fn finish(self) -> Result<Nested, &'static str> {
        let Self { lengths, leaf_depth, numbers, texts } = self;
        if leaf_depth.is_some_and(|depth| depth != lengths.len()) {
            return Err(RAGGED);
        }
        let shape = lengths.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Nested { shape, numbers, texts })
    }
}

/// The elements of one array, or one element.
struct Level<'a> {
    builder: &'a mut Builder,
    /// How many arrays are open.
    depth: usize,
}

impl Level<'_> {
    fn number<E: serde::de::Error>(self, value: f32) -> Result<(), E> {
        self.builder.leaf(self.depth).map_err(E::custom)?;
        self.builder.numbers.push(value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text or a list of these")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.number(value as f32)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.number(value as f32)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.number(value as f32)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.builder.leaf(self.depth).map_err(E::custom)?;
        if self.builder.texts.len() == MAX_TEXTS {
            return Err(E::custom(format!("an array has at most {MAX_TEXTS} texts")));
        }
        self.builder.texts.push(text.to_owned());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { builder, depth } = self;
        if depth == MAX_DEPTH {
            return Err(A::Error::custom(format!("an array has at most {MAX_DEPTH} axes")));
        }
        let mut length = 0;
        while seq.next_element_seed(Level { builder, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        builder.close(depth, length).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Nested, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn shape_and_values_are_read_in_row_major_order() {
        let nested = parse("[[[1, 2.5], [-3, 4]], [[5, 6], [7, 8e0]]]").unwrap();
        assert_eq!(nested.shape, [2, 2, 2]);
        assert_eq!(nested.numbers, [1.0, 2.5, -3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(parse("[]").unwrap().shape, [0]);
        assert_eq!(parse("[[\"a\"], [\"b\"]]").unwrap().texts, ["a", "b"]);
    }

    #[test]
    fn rows_of_different_lengths_and_deep_nesting_are_refused() {
        for text in
            ["[[1, 2], [3]]", "[1, [2]]", "[[1], 2]", "[[], 1]", "[[], [1]]", "[[[1]], [2]]"]
        {
            assert!(parse(text).unwrap_err().starts_with(RAGGED), "{text}");
        }
        assert!(parse("[[[[[[[1]]]]]]]").unwrap_err().starts_with("an array has at most 6 axes"));
        let texts = |count: usize| format!("[{}]", vec!["\"\""; count].join(","));
        assert!(parse(&texts(64)).is_ok());
        assert!(parse(&texts(65)).unwrap_err().starts_with("an array has at most 64 texts"));
        assert!(parse("[true]").unwrap_err().starts_with("invalid type: boolean"));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
