//! Extracts a typed request from an HTTP request.
//!
//! The body is multipart, JSON, or the image itself; options may also be in the query. A request is
//! either understood completely or refused with a message that says what is wrong. Nothing is
//! ignored, and no more of the body than the size limit is buffered.

pub(super) mod accept;
pub(super) mod body;
pub(super) mod json;
pub(super) mod multipart;
pub(super) mod parameters;
pub(super) mod query;

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;

use self::accept::Preferred;
use self::parameters::Parametrised;
use crate::app::options::{Output, accepted, unknown};
use crate::app::{ExplainRequest, Operation, RequestOptions};
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::text::{shortened, without_mark};

/// A request that has been read.
pub(super) struct ExtractedRequest {
    /// The request.
    pub(super) request: ExplainRequest,
    /// Whether progress is streamed as events.
    pub(super) is_streamed: bool,
}

/// What a body holds.
pub(super) struct Contents {
    pub(super) image: Option<Bytes>,
    pub(super) options: Vec<(String, String)>,
}

/// The kinds of body.
enum BodyKind {
    Multipart { boundary: String },
    Json,
    Image,
}

impl ExtractedRequest {
    /// Reads a request with a body of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`Kind::Malformed`], [`Kind::BodyTooLarge`], [`Kind::UnsupportedImage`],
    /// [`Kind::UnsupportedEncoding`] and the errors of [`RequestOptions::parse`].
    pub(super) async fn read(
        operation: Operation,
        request: Request,
        limit_bytes: usize,
    ) -> Result<Self> {
        let (parts, body) = request.into_parts();
        // The query is checked before the body is read, and again together with it.
        let query = query::options(&parts);
        let preferred = accept::preferred(operation, parts.headers.get_all(ACCEPT));
        let checked = parse(operation, &query, preferred).and_then(|_| BodyKind::new(&parts));
        let kind = match checked {
            Ok(kind) => kind,
            Err(error) => {
                // A client that is still sending does not read the response: let it finish.
                body::discard(body, &parts.headers, limit_bytes);
                return Err(error);
            }
        };
        let bytes = body::collect(body, &parts.headers, limit_bytes).await?;
        let contents = contents(operation, kind, bytes).await?;
        let all = [query, contents.options].concat();
        let options = parse(operation, &all, preferred)?;
        let image = contents.image.ok_or_else(|| {
            Error::new(
                Kind::Malformed,
                "there is no image: send it as the field 'image', or as the body itself",
            )
            .about("image")
        })?;
        let request = ExplainRequest { operation, image, options };
        Ok(Self { request, is_streamed: preferred.is_streamed })
    }
}

/// Parses a complete body, a large one on a thread that may block: megabytes of base64 take long
/// enough to hold up every other connection.
async fn contents(operation: Operation, kind: BodyKind, bytes: Bytes) -> Result<Contents> {
    const LARGE_BYTES: usize = 64 << 10;
    let is_small = bytes.len() < LARGE_BYTES || matches!(kind, BodyKind::Image);
    let parse = async move {
        match kind {
            BodyKind::Multipart { boundary } => multipart::read(operation, bytes, boundary).await,
            BodyKind::Json => json::read(operation, &bytes),
            BodyKind::Image => Ok(Contents { image: Some(bytes), options: Vec::new() }),
        }
    };
    if is_small {
        return parse.await;
    }
    let runtime = tokio::runtime::Handle::current();
    let parsed = tokio::task::spawn_blocking(move || runtime.block_on(parse)).await;
    parsed.unwrap_or_else(|panic| Err(Error::internal("parsing a body", panic)))
}

/// Parses the options. A stream carries JSON and nothing else.
fn parse(
    operation: Operation,
    pairs: &[(String, String)],
    preferred: Preferred,
) -> Result<RequestOptions> {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), without_mark(value)));
    let options = RequestOptions::parse(operation, pairs, preferred.form)?;
    let output = options.rendering.output;
    if preferred.is_streamed && output != Output::Json {
        let detail = format!(
            "option 'output' can't be '{}' in a stream; it takes json, or leave text/event-stream \
             out of Accept",
            output.name()
        );
        return Err(Error::new(Kind::Option, detail).about("output"));
    }
    Ok(options)
}

/// Checks the names of all members of a body before any value is read. `kind` is what the body
/// calls a member, and `images` are the names that the image can have.
///
/// # Errors
/// [`Kind::Option`] for a name that is neither the image's nor an option.
pub(super) fn check_names<'a>(
    operation: Operation,
    names: impl IntoIterator<Item = &'a str>,
    kind: &str,
    images: &[&str],
) -> Result<()> {
    let is_known =
        |name: &str| images.contains(&name) || accepted(operation).any(|spec| spec.name == name);
    match names.into_iter().find(|name| !is_known(name)) {
        Some(name) => Err(unknown(operation, name, images.first().map(|image| (kind, *image)))),
        None => Ok(()),
    }
}

/// Refuses a compressed body. Images are compressed already, and a small body that expands to a
/// large one would pass the limit on its size.
fn check_encoding(parts: &Parts) -> Result<()> {
    let headers = parts.headers.get_all(CONTENT_ENCODING).iter();
    let named: Vec<String> = headers
        .flat_map(|header| {
            let codings = String::from_utf8_lossy(header.as_bytes()).to_ascii_lowercase();
            codings.split(',').map(|coding| coding.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let named = named.join(", ");
    let named = shortened(&named);
    let detail = format!("Content-Encoding '{named}' is not accepted; send the body as it is");
    Err(Error::new(Kind::UnsupportedEncoding, detail))
}

impl BodyKind {
    fn new(parts: &Parts) -> Result<Self> {
        const ACCEPTED: &str =
            "send multipart/form-data, application/json, image/* or application/octet-stream";
        check_encoding(parts)?;
        let refuse = |what: String| Err(Error::new(Kind::UnsupportedImage, what));
        let malformed = |what: String| Error::new(Kind::Malformed, format!("Content-Type: {what}"));
        let mut values = parts.headers.get_all(CONTENT_TYPE).iter();
        let Some(value) = values.next() else {
            return refuse(format!("the request has no Content-Type; {ACCEPTED}"));
        };
        if values.next().is_some() {
            return Err(malformed("the request has this header twice; send one".into()));
        }
        let parsed =
            Parametrised::parse(value.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let kind = parsed.value.as_str();
        match kind {
            "multipart/form-data" => match parsed.get("boundary") {
                Some(boundary) if !boundary.is_empty() => {
                    Ok(Self::Multipart { boundary: boundary.to_owned() })
                }
                _ => Err(malformed(
                    "multipart/form-data has no boundary; HTTP clients write it if the header is \
                     left to them"
                        .into(),
                )),
            },
            "application/json" => Ok(Self::Json),
            "application/octet-stream" => Ok(Self::Image),
            _ if kind.starts_with("image/") => Ok(Self::Image),
            _ => {
                let kind = shortened(kind);
                refuse(format!("Content-Type '{kind}' is not accepted; {ACCEPTED}"))
            }
        }
    }
}
