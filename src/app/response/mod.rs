//! A finished response: a body, and the facts about it that an edge reports separately.
//!
//! JSON bodies are those of `openapi.yaml`. The HTTP edge writes the facts into headers, the
//! command line into a line of text. Bodies are written on the worker's thread: fifty megapixels
//! of text take longer than a network thread may be blocked.

pub mod facts;
pub mod json;
pub mod provenance;
mod timing;

use std::io::Cursor;

use bytes::Bytes;
use ndarray::{Array, Dimension};
use ndarray_npy::WriteNpyExt;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::explain::Explanation;
use crate::picture::encode::Format;
pub use facts::{EachMap, Facts, MapFacts, MethodFacts, STRAIGHT_THROUGH, TargetFacts};
pub use timing::TimingMs;

/// A response.
#[derive(Debug)]
pub struct ExplainResponse {
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// What the body shows.
    pub facts: Facts,
    /// The time that each stage took.
    pub timing: TimingMs,
}

/// The size of an image in pixels, and the part of it that the model saw.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ImageSize {
    /// The width.
    pub width: u32,
    /// The height.
    pub height: u32,
    /// Left, top, width and height of the part that the model saw.
    pub seen: [f32; 4],
}

/// A picture of one map or of several, in a file of the given format.
#[must_use]
pub fn picture(
    file: Vec<u8>,
    format: Format,
    explanations: &[Explanation],
    timing: TimingMs,
) -> ExplainResponse {
    let facts = Facts::from_explanations(explanations);
    ExplainResponse { content_type: format.media_type(), body: file.into(), facts, timing }
}

/// Maps as a NumPy file of float32: `[h, w]`, or `[K, h, w]` for several classes.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) if writing the file fails.
pub fn array<D: Dimension>(
    maps: &Array<f32, D>,
    explanations: &[Explanation],
    timing: TimingMs,
) -> Result<ExplainResponse> {
    let mut file = Cursor::new(Vec::with_capacity(maps.len() * 4 + 128));
    maps.write_npy(&mut file).map_err(|error| Error::internal("writing a NumPy array", error))?;
    let (body, facts) = (file.into_inner().into(), Facts::from_explanations(explanations));
    Ok(ExplainResponse { content_type: "application/x-npy", body, facts, timing })
}
