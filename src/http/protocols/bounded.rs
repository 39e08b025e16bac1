//! Parts of a JSON body that are read up to a limit, so that a body never takes more than a few
//! times its own length in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The longest text of an object of parameters. A tree of JSON values can take fifty times its
/// text.
const MAX_PARAMETERS_BYTES: usize = 64 << 10;

/// The longest list of anything but numbers.
pub(super) const MAX_LIST: usize = 64;

/// Reads an object of parameters; clients write `null` for parameters that they have not.
pub(super) fn parameters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    let Some(text) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(Map::new());
    };
    if text.get().len() > MAX_PARAMETERS_BYTES {
        let detail = format!("parameters are longer than {MAX_PARAMETERS_BYTES} bytes");
        return Err(D::Error::custom(detail));
    }
    serde_json::from_str(text.get()).map_err(D::Error::custom)
}

/// A list of at most [`MAX_LIST`] elements.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == MAX_LIST {
                        return Err(A::Error::custom(format!(
                            "a list has at most {MAX_LIST} elements"
                        )));
                    }
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "parameters")]
        parameters: Map<String, Value>,
        list: List<u8>,
    }

    fn read(text: &str) -> Result<Body, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_have_a_longest_text() {
        let text =
            |length: usize| format!("{{\"parameters\":{{\"a\":\"{}\"}}}}", "x".repeat(length));
        assert_eq!(read(&text(MAX_PARAMETERS_BYTES - 8)).unwrap().parameters.len(), 1);
        let error = read(&text(MAX_PARAMETERS_BYTES - 7)).unwrap_err();
        assert!(error.starts_with("parameters are longer than 65536 bytes"), "{error}");
        assert!(read("{\"parameters\": null}").unwrap().parameters.is_empty());
        assert!(read("{\"parameters\": [1]}").unwrap_err().contains("expected a map"));
    }

    #[test]
    fn a_list_has_a_largest_length() {
        let text = |count: usize| format!("{{\"list\":[{}]}}", vec!["7"; count].join(","));
        assert_eq!(read(&text(MAX_LIST)).unwrap().list.0.len(), MAX_LIST);
        assert!(read(&text(MAX_LIST + 1)).unwrap_err().starts_with("a list has at most 64"));
    }
}
