//! `multipart/form-data`: the field `image` is the file; every other field is an option.
//!
//! The `multer` crate separates the parts. Their names are parsed here, and all of them are checked
//! before any value: a file in a field of another name is the commonest mistake, and its bytes are
//! no option's text.

use std::convert::Infallible;

use bytes::Bytes;
use multer::{Field, Multipart};

use super::parameters::Parametrised;
use super::{Contents, check_names};
use crate::app::Operation;
use crate::error::{Error, Kind, Result};
use crate::text::{self, shortened};

/// One part of a form.
pub(in crate::http) struct Part {
    pub(in crate::http) name: String,
    charset: Option<String>,
    pub(in crate::http) bytes: Bytes,
}

/// Separates the parts of a complete form.
///
/// # Errors
/// [`Kind::Malformed`].
pub(in crate::http) async fn parts(body: Bytes, boundary: String) -> Result<Vec<Part>> {
    check_structure(&body, &boundary)?;
    let unreadable = |error: multer::Error| {
        malformed(format!("the form could not be read: {error}")).caused_by(error)
    };
    let whole = std::future::ready(Ok::<_, Infallible>(body));
    let mut form = Multipart::new(futures_util::stream::once(whole), boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let (name, charset) = (name(&field)?, charset(&field)?);
        parts.push(Part { name, charset, bytes: field.bytes().await.map_err(unreadable)? });
    }
    Ok(parts)
}

/// Parses a complete form.
pub(super) async fn read(operation: Operation, body: Bytes, boundary: String) -> Result<Contents> {
    let parts = parts(body, boundary).await?;
    let names = parts.iter().map(|part| part.name.as_str());
    check_names(operation, names, "field", &["image"])?;
    let mut contents = Contents { image: None, options: Vec::new() };
    for part in parts {
        if part.name == "image" {
            if contents.image.is_some() {
                return Err(malformed("the form has two images; send one".into()).about("image"));
            }
            contents.image = Some(part.bytes);
        } else {
            let text = part.text()?;
            contents.options.push((part.name, text));
        }
    }
    Ok(contents)
}

impl Part {
    /// The part as text.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if it is no text in its charset.
    pub(in crate::http) fn text(&self) -> Result<String> {
        let refuse = |reason: String| {
            let name = shortened(&self.name);
            malformed(format!("the field '{name}' {reason}")).about(name)
        };
        match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => {
                let text = text::decode(&self.bytes).map_err(|error| refuse(error.to_string()))?;
                Ok(text.to_owned())
            }
            // Java's HTTP clients declare this one unless told otherwise.
            Some("iso-8859-1" | "latin1") => {
                Ok(self.bytes.iter().copied().map(char::from).collect())
            }
            Some(other) => {
                let other = shortened(other);
                Err(refuse(format!("has the charset '{other}'; it must be UTF-8")))
            }
        }
    }
}

/// The name of a field.
fn name(field: &Field<'_>) -> Result<String> {
    let Some(header) = field.headers().get("content-disposition") else {
        return Err(malformed("a field of the form has no Content-Disposition".into()));
    };
    let disposition = Parametrised::parse(header.as_bytes())
        .map_err(|error| malformed(format!("Content-Disposition: {error}")))?;
    if disposition.value != "form-data" {
        let value = shortened(&disposition.value);
        return Err(malformed(format!("Content-Disposition is '{value}', not form-data")));
    }
    match disposition.get("name") {
        None | Some("") => Err(malformed("a field of the form has no name".into())),
        // What browsers encode in names, and nothing else (the HTML standard).
        Some(name) => Ok(name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")),
    }
}

/// The charset that a field declares, in lower case.
///
/// # Errors
/// [`Kind::Malformed`] if the field's bytes are encoded once more.
fn charset(field: &Field<'_>) -> Result<Option<String>> {
    if let Some(encoding) = field.headers().get("content-transfer-encoding") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).trim().to_ascii_lowercase();
        if !matches!(encoding.as_str(), "7bit" | "8bit" | "binary") {
            let encoding = shortened(&encoding);
            return Err(malformed(format!(
                "Content-Transfer-Encoding '{encoding}' is not accepted; send the bytes themselves"
            )));
        }
    }
    let Some(header) = field.headers().get("content-type") else { return Ok(None) };
    let parsed = Parametrised::parse(header.as_bytes())
        .map_err(|error| malformed(format!("a field's Content-Type: {error}")))?;
    Ok(parsed.get("charset").map(str::to_ascii_lowercase))
}

/// Finds the faults of a form for which `multer` has no words of its own, or which it passes over.
fn check_structure(body: &[u8], boundary: &str) -> Result<()> {
    let fault = |reason: String| Err(malformed(format!("the form could not be read: {reason}")));
    let delimiter = format!("--{boundary}");
    let quoted = shortened(&delimiter);
    if body.is_empty() {
        return fault("it is empty (0 bytes)".into());
    }
    if body.starts_with(format!("{delimiter}\n").as_bytes()) {
        return fault("its lines must end in CR LF".into());
    }
    let Some(first) = find(body, &delimiter) else {
        let line = body.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let found = match std::str::from_utf8(line) {
            Ok(line) if line.starts_with("--") => format!("; it starts with '{}'", shortened(line)),
            _ => String::new(),
        };
        return fault(format!(
            "it has no line '{quoted}', which the boundary in Content-Type asks for{found}"
        ));
    };
    if find(&body[first..], &format!("{delimiter}--")).is_none() {
        return fault(format!(
            "its last line '{quoted}--' is missing, so it was cut off or not ended"
        ));
    }
    match repeated_header(&body[first..], &delimiter) {
        Some(name) => Err(malformed(format!("a field of the form has {name} twice; send one"))),
        None => Ok(()),
    }
}

/// A header that one part of a form has twice. `multer` drops the first of the two, and another
/// parser in front of this one may drop the second.
fn repeated_header(form: &[u8], delimiter: &str) -> Option<&'static str> {
    const NAMES: [&str; 3] = ["Content-Disposition", "Content-Type", "Content-Transfer-Encoding"];
    let mut rest = form;
    // Nothing is searched twice: a form may consist of millions of delimiters.
    while let Some(at) = find(rest, delimiter) {
        let is_first_of_line = rest[..at].ends_with(b"\r\n") || rest.len() == form.len() && at == 0;
        rest = &rest[at + delimiter.len()..];
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !is_first_of_line || !rest[padding..].starts_with(b"\r\n") {
            continue;
        }
        let head;
        (head, rest) = rest.split_at(find(rest, "\r\n\r\n")?);
        let has_name = |line: &[u8], name: &str| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
            line[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes())
        };
        let lines = || head.split(|byte| *byte == b'\n');
        let is_repeated = |name: &&str| lines().filter(|line| has_name(line, name)).count() > 1;
        if let Some(name) = NAMES.into_iter().find(is_repeated) {
            return Some(name);
        }
    }
    None
}

/// Where a text first stands in bytes.
fn find(bytes: &[u8], text: &str) -> Option<usize> {
    memchr::memmem::find(bytes, text.as_bytes())
}

fn malformed(detail: String) -> Error {
    Error::new(Kind::Malformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each search to the end of the form, for each delimiter, would take hours.
    #[test]
    fn a_form_of_delimiters_is_searched_once() {
        for line in ["--b", "--b\r\n", "--b \r\n--b", "\r\n--b"] {
            let delimiters = line.repeat((8 << 20) / line.len());
            for end in ["--b--", "\r\n--b--\r\n", "\r\n\r\n--b--\r\n"] {
                let form = format!("{delimiters}{end}");
                assert_eq!(repeated_header(form.as_bytes(), "--b"), None, "{line:?} {end:?}");
            }
        }
    }

    #[test]
    fn a_header_that_a_part_repeats_is_found_in_any_part() {
        let part = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nContent-Type: x\r\n";
        let twice = "--b \r\nContent-Type: a\r\ncontent-type : b\r\n\r\n1\r\n--b--\r\n";
        let found = |form: String| repeated_header(form.as_bytes(), "--b");
        assert_eq!(found(format!("{part}{part}--b--\r\n")), None);
        assert_eq!(found(format!("{part}{part}{twice}")), Some("Content-Type"));
        // A delimiter inside a line begins no part.
        assert_eq!(found(format!("{part}text {twice}")), None);
    }
}
