//! Reading a request: wherever image and options stand, they become one [`Asked`].
//!
//! The body may be multipart, JSON, or the image itself; options may also stand in the
//! query. The promise: whatever arrives is either taken completely or refused with words
//! that say what is wrong. Nothing is skipped, and never more than the limit is kept.

mod accept;
pub(super) mod body;
mod json;
mod multipart;

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;

use self::accept::Preferred;
use super::options::{Endpoint, Output, Question};
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;

/// One request, read.
#[derive(Debug)]
pub struct Asked {
    /// The file, as it was sent.
    pub image: Bytes,
    /// Everything else.
    pub question: Question,
    /// Whether the answer is to tell how it goes while it is made.
    pub is_streamed: bool,
}

/// What a body holds.
struct Contents {
    image: Option<Bytes>,
    options: Vec<(String, String)>,
}

/// The kinds of body.
enum BodyKind {
    Multipart { boundary: String },
    Json,
    Image,
}

impl Asked {
    /// Reads a request of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`Kind::Malformed`], [`Kind::Option`], [`Kind::BodyTooLarge`] or [`Kind::UnsupportedImage`].
    pub async fn read(endpoint: Endpoint, request: Request, limit_bytes: usize) -> Result<Self> {
        let (parts, body) = request.into_parts();
        // The query is held against the table before the body is fetched, and again with it.
        let query = query(&parts);
        let preferred = accept::preferred(endpoint, parts.headers.get_all(ACCEPT));
        let outcome = match (question(endpoint, &query, preferred), BodyKind::of(&parts)) {
            (Ok(_), Ok(kind)) => Ok(kind),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let kind = match outcome {
            Ok(kind) => kind,
            Err(error) => {
                // A client that is still sending reads no answer: let it finish, within reason.
                body::discard(body, &parts.headers, limit_bytes).await;
                return Err(error);
            }
        };
        let bytes = body::collect(body, &parts.headers, limit_bytes).await?;
        let contents = match kind {
            BodyKind::Multipart { boundary } => multipart::read(bytes, boundary).await?,
            BodyKind::Json => json::read(&bytes)?,
            BodyKind::Image => Contents { image: Some(bytes), options: Vec::new() },
        };
        let all = [query, contents.options].concat();
        let question = question(endpoint, &all, preferred)?;
        let image = contents.image.ok_or_else(|| {
            Error::new(
                Kind::Malformed,
                "there is no image: send it as the field 'image', or as the body itself",
            )
            .about("image")
        })?;
        Ok(Self { image, question, is_streamed: preferred.is_streamed })
    }
}

/// The options as one struct; a stream carries JSON and nothing else.
fn question(
    endpoint: Endpoint,
    pairs: &[(String, String)],
    preferred: Preferred,
) -> Result<Question> {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let question = Question::parse(endpoint, pairs, preferred.output)?;
    let output = question.rendering.output;
    if preferred.is_streamed && output != Output::Json {
        let detail = format!(
            "option 'output' can't be '{}' in a stream; it takes json, or leave text/event-stream out of Accept",
            output.name()
        );
        return Err(Error::new(Kind::Option, detail).about("output"));
    }
    Ok(question)
}

fn query(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query)
        .map(|(name, value)| match &*name {
            "method" | "methods" => (name.into_owned(), plus_signs(&value)),
            _ => (name.into_owned(), value.into_owned()),
        })
        .collect()
}

/// In a query an unescaped `+` means a space, so that `method=gradcam++` arrives as `gradcam␣␣`,
/// and without its spaces that is another method. No method's name ends in a space: they were plus
/// signs.
fn plus_signs(value: &str) -> String {
    let restore = |name: &str| {
        let plain = name.trim_end_matches(' ');
        plain.to_owned() + &"+".repeat(name.len() - plain.len())
    };
    value.split(',').map(restore).collect::<Vec<_>>().join(",")
}

impl BodyKind {
    fn of(parts: &Parts) -> Result<Self> {
        const TAKEN: &str =
            "send multipart/form-data, application/json, image/* or application/octet-stream";
        let refuse = |what: String| Err(Error::new(Kind::UnsupportedImage, what));
        let Some(value) = parts.headers.get(CONTENT_TYPE) else {
            return refuse(format!("the request has no Content-Type; {TAKEN}"));
        };
        let whole = value.to_str().unwrap_or_default();
        let kind = whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "multipart/form-data" => match multer::parse_boundary(whole) {
                Ok(boundary) => Ok(Self::Multipart { boundary }),
                Err(error) => Err(Error::new(Kind::Malformed, format!("Content-Type: {error}"))),
            },
            "application/json" => Ok(Self::Json),
            "application/octet-stream" => Ok(Self::Image),
            _ if kind.starts_with("image/") => Ok(Self::Image),
            _ => refuse(format!("Content-Type '{kind}' is not taken; {TAKEN}")),
        }
    }
}
