//! Parses header values with parameters: `form-data; name="image"; filename="cat.png"`.
//!
//! `Content-Disposition` (RFC 6266, RFC 7578) and `Content-Type` (RFC 9110) share this grammar. It
//! is parsed from left to right: a search for `name=` would find it inside a file name as well, and
//! a file name could then rename its field.

use std::fmt;

use crate::text::shortened;

/// The most parameters. Each is compared with those before it.
const MAX_PARAMETERS: usize = 32;

/// A header value and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Parametrised {
    /// The value before the first semicolon, in lower case.
    pub(in crate::http) value: String,
    /// Names, in lower case, and values, unquoted.
    parameters: Vec<(String, String)>,
}

/// Why a header value does not follow the grammar.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum SyntaxError {
    NotUtf8,
    Unterminated,
    AfterQuote,
    QuoteInside,
    NoValue(String),
    Repeated(String),
    TooMany,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::Unterminated => f.write_str("a quoted value does not end"),
            Self::AfterQuote => f.write_str(
                "something other than ';' follows a quoted value; a quote inside it is \\\" or %22",
            ),
            Self::QuoteInside => f.write_str("a value without quotes has a quote in it"),
            Self::NoValue(name) => write!(f, "the parameter '{}' has no value", shortened(name)),
            Self::TooMany => write!(f, "it has more than {MAX_PARAMETERS} parameters"),
            Self::Repeated(name) => write!(f, "the parameter '{}' is given twice", shortened(name)),
        }
    }
}

impl Parametrised {
    /// Parses a header value.
    ///
    /// # Errors
    /// [`SyntaxError`].
    pub(in crate::http) fn parse(header: &[u8]) -> Result<Self, SyntaxError> {
        let header = std::str::from_utf8(header).map_err(|_| SyntaxError::NotUtf8)?;
        let (value, mut rest) = header.split_once(';').unwrap_or((header, ""));
        let mut parameters: Vec<(String, String)> = Vec::new();
        loop {
            // Clients end a list with a semicolon, or write two.
            rest = rest.trim_start_matches([' ', '\t', ';']);
            if rest.is_empty() {
                break;
            }
            let end = rest.find(['=', ';']).unwrap_or(rest.len());
            let name = rest[..end].trim().to_ascii_lowercase();
            let Some(after) = rest[end..].strip_prefix('=') else {
                return Err(SyntaxError::NoValue(name));
            };
            let (value, left) = parameter_value(after.trim_start())?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(SyntaxError::Repeated(name));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(SyntaxError::TooMany);
            }
            parameters.push((name, value));
            rest = left;
        }
        Ok(Self { value: value.trim().to_ascii_lowercase(), parameters })
    }

    /// The parameter of this name, which is in lower case.
    pub(in crate::http) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The value at the start of a text, unquoted, and the text after it.
fn parameter_value(text: &str) -> Result<(String, &str), SyntaxError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let value = text[..end].trim_end();
        if value.contains('"') {
            return Err(SyntaxError::QuoteInside);
        }
        return Ok((value.to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = quoted[at + 1..].trim_start();
                let is_end = rest.is_empty() || rest.starts_with(';');
                return if is_end { Ok((value, rest)) } else { Err(SyntaxError::AfterQuote) };
            }
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    Err(SyntaxError::Unterminated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(header: &str) -> Result<Option<String>, SyntaxError> {
        Parametrised::parse(header.as_bytes()).map(|found| found.get("name").map(str::to_owned))
    }

    #[test]
    fn parameters_are_read_in_any_order_and_spelling() {
        let image = Ok(Some("image".to_owned()));
        for header in [
            "form-data; name=\"image\"",
            "form-data;name=image;filename=my cat.png",
            "Form-Data ; NAME = \"image\" ;",
            "form-data; filename=\"my name=model.png\"; name=\"image\"",
            "form-data; filename=\"a; name=top_k;.png\"; name=\"image\"",
            "form-data; filename=\"a\\\"; name=\\\"top_k.png\"; name=\"image\"",
            "form-data; filename*=UTF-8''name%3Dtop_k; name=image",
            "form-data; filename=\"\u{20ac}.png\"; name=image",
            "form-data;; name=\"im\\age\"",
        ] {
            assert_eq!(name(header), image, "{header}");
        }
        assert_eq!(name("form-data; filename=\"name=image\""), Ok(None));
        assert_eq!(name("form-data; name*=UTF-8''image"), Ok(None));
        assert_eq!(name("form-data; name=\"\""), Ok(Some(String::new())));
        assert_eq!(Parametrised::parse(b"Form-Data; name=x").unwrap().value, "form-data");
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        assert_eq!(name("form-data; name=\"image"), Err(SyntaxError::Unterminated));
        assert_eq!(name("form-data; name=\"image\\\""), Err(SyntaxError::Unterminated));
        assert_eq!(
            name("form-data; filename=\"a\"b\"; name=\"image\""),
            Err(SyntaxError::AfterQuote)
        );
        assert_eq!(name("form-data; name=im\"age\""), Err(SyntaxError::QuoteInside));
        assert_eq!(name("form-data; name"), Err(SyntaxError::NoValue("name".into())));
        assert_eq!(
            name("form-data; name=image; NAME=top_k"),
            Err(SyntaxError::Repeated("name".into()))
        );
        assert_eq!(Parametrised::parse(b"form-data; name=\xff"), Err(SyntaxError::NotUtf8));
        let many = |count: usize| (0..count).map(|index| format!(";p{index}=")).collect::<String>();
        assert!(Parametrised::parse(many(32).as_bytes()).is_ok());
        assert_eq!(Parametrised::parse(many(33).as_bytes()), Err(SyntaxError::TooMany));
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back(file in "[ -~]{0,30}", field in "[ -~]{0,30}") {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header =
                format!("form-data; filename=\"{}\"; name=\"{}\"", quoted(&file), quoted(&field));
            prop_assert_eq!(name(&header), Ok(Some(field)));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(Parametrised::parse(&bytes));
        }
    }
}
