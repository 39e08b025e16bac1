//! Text that people wrote: label files, manifests, settings, JSON bodies and form fields.
//!
//! All of it is UTF-8. Editors on Windows start a file with a byte order mark, which belongs to no
//! label, key or option, so it is dropped here, for every kind of text alike. Other encodings are
//! refused by name: guessed wrongly, they would change labels without a word.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::regular_file::open_regular;

/// At most this many characters of a client's text stand in an error, a log line or a header. A
/// body can be one option of many megabytes.
const MAX_QUOTED: usize = 500;

/// The longest text file: far longer than labels for every class of a large model.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The byte order mark, as a character.
const MARK: char = '\u{feff}';

/// Names as a sentence lists them: `a, b`, or `none`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A share between 0 and 1 in per cent. One that would be rounded to nothing says so.
pub(crate) fn per_cent(share: f64) -> String {
    let value = 100.0 * share;
    if value > 0.0 && value < 0.1 { "< 0.1 %".to_owned() } else { format!("{value:.1} %") }
}

/// Why bytes are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotText {
    /// UTF-16 or UTF-32, told by their byte order marks or by NUL bytes.
    Wide,
    /// Not UTF-8; the first wrong byte is on this line, counted from 1.
    NotUtf8 {
        /// The line.
        line: usize,
    },
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wide => f.write_str("is UTF-16 or UTF-32, or binary; it must be UTF-8"),
            Self::NotUtf8 { line } => write!(f, "is not UTF-8 (line {line}); it must be UTF-8"),
        }
    }
}

impl std::error::Error for NotText {}

/// Decodes UTF-8 and drops a byte order mark.
///
/// # Errors
/// [`NotText`] for other encodings, and for text with NUL bytes.
pub fn decode(bytes: &[u8]) -> std::result::Result<&str, NotText> {
    // Without a mark, English text in UTF-16 is valid UTF-8 with a NUL in every other byte.
    let is_wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if is_wide || bytes.contains(&0) {
        return Err(NotText::Wide);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        NotText::NotUtf8 { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
    })?;
    Ok(without_mark(text))
}

/// The text without a byte order mark.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The text as it is quoted in errors and logs: its start and an ellipsis, if it is long.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    cut(text, MAX_QUOTED)
}

/// The first `characters` of a text and an ellipsis, if it has more.
pub(crate) fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Reads a text file: a regular one, so that reading it ends.
///
/// # Errors
/// [`Kind::Setup`] with the path when the file can't be read, is very long, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let setup = |reason: String| Error::new(Kind::Setup, reason).at_path(path);
    let mut bytes = Vec::new();
    open_regular(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| setup(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(setup(format!("the file has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = decode(&bytes).map_err(|error| setup(format!("the file {error}")))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_order_mark_is_dropped() {
        assert_eq!(decode(b"tabby"), Ok("tabby"));
        assert_eq!(decode(b"\xef\xbb\xbftabby"), Ok("tabby"));
        assert_eq!(decode(b"\xef\xbb\xbf\xef\xbb\xbf"), Ok("\u{feff}"));
        assert_eq!(decode(b""), Ok(""));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(shortened(&"é".repeat(500)), "é".repeat(500));
        assert_eq!(shortened(&"é".repeat(501)), "é".repeat(500) + "…");
        assert_eq!(shortened(&"é".repeat(1 << 20)), "é".repeat(500) + "…");
        assert_eq!(shortened(""), "");
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        assert_eq!(decode(&utf16("\u{feff}cat")), Err(NotText::Wide));
        assert_eq!(decode(&utf16("cat")), Err(NotText::Wide));
        assert_eq!(decode(b"\xfe\xff\0c\0a\0t"), Err(NotText::Wide));
        assert_eq!(decode(b"\xff\xfe\0\0c\0\0\0"), Err(NotText::Wide));
        assert_eq!(decode(b"dog\ncat\xe9\n"), Err(NotText::NotUtf8 { line: 2 }));
    }
}
