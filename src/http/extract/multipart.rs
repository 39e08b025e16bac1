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
use crate::text;

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
    let has_bare_newlines = has_bare_newlines(&body, &boundary);
    let unreadable = |error: multer::Error| {
        let reason = if has_bare_newlines {
            "its lines must end in CR LF".to_owned()
        } else {
            error.to_string()
        };
        malformed(format!("the form could not be read: {reason}")).caused_by(error)
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
    check_names(operation, parts.iter().map(|part| part.name.as_str()), "field")?;
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
            let name = &self.name;
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
            Some(other) => Err(refuse(format!("has the charset '{other}'; it must be UTF-8"))),
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
        let value = disposition.value;
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

/// Whether the boundary stands on a line that ends in LF alone.
fn has_bare_newlines(body: &[u8], boundary: &str) -> bool {
    let line = format!("--{boundary}\n");
    body.get(..line.len()).is_some_and(|start| start == line.as_bytes())
}

fn malformed(detail: String) -> Error {
    Error::new(Kind::Malformed, detail)
}
