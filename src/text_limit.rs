//! The length of texts that repeat what a client or a file says: no error and no log line grows
//! with the input.

use std::borrow::Cow;

/// The most characters of one value in an error or a log line.
pub const MAX_CHARS: usize = 500;
/// How many of them are the end of a text that is too long: messages end in what would be right.
const END_CHARS: usize = 240;
const GAP: &str = " […] ";

/// The text if it has at most [`MAX_CHARS`] characters, else its beginning and its end.
#[must_use]
pub fn shortened<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    // Bytes are quick to count and at least as many as the characters.
    if text.len() <= MAX_CHARS || text.chars().nth(MAX_CHARS).is_none() {
        return text;
    }
    let start_chars = MAX_CHARS - END_CHARS - GAP.chars().count();
    let start: String = text.chars().take(start_chars).collect();
    let end = text.char_indices().nth_back(END_CHARS - 1).map_or("", |(at, _)| &text[at..]);
    Cow::Owned(format!("{start}{GAP}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let long = format!("option 'x' can't be '{}'; it takes a, b", "é".repeat(20_000));
        let short = shortened(long);
        assert_eq!(short.chars().count(), MAX_CHARS);
        assert!(short.starts_with("option 'x' can't be 'é"), "{short}");
        assert!(short.ends_with("é'; it takes a, b") && short.contains(GAP), "{short}");
    }

    #[test]
    fn a_text_within_the_limit_is_unchanged() {
        for length in [0, 1, MAX_CHARS] {
            let text = "é".repeat(length);
            assert_eq!(shortened(text.as_str()), text);
        }
    }
}
