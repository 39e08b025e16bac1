//! Reads a body up to a limit.
//!
//! A client that is refused while it still sends may never read the response: HTTP libraries write
//! first and find a closed connection. So the excess is still read and discarded, for a few seconds
//! and up to a few times the limit, while the response is on its way already.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::error::{Error, Kind, Result};

/// How long a refused body is read and discarded.
const DISCARD_FOR: Duration = Duration::from_secs(5);
/// At most this many times the limit is discarded.
const DISCARD_TIMES: usize = 4;

/// The whole body.
///
/// # Errors
/// [`Kind::BodyTooLarge`] over the limit, [`Kind::Malformed`] if it ends early.
pub(in crate::http) async fn collect(
    mut body: Body,
    headers: &HeaderMap,
    limit_bytes: usize,
) -> Result<Bytes> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    // A body that declares itself too large is refused before any of it is buffered.
    if announced > limit_bytes {
        discard(body, headers, limit_bytes);
        return Err(too_large(limit_bytes));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Error::new(Kind::Malformed, "the body ended early").caused_by(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit_bytes {
            drop((first, rest));
            discard(body, headers, limit_bytes);
            return Err(too_large(limit_bytes));
        }
        // Often one frame is the whole body, and needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.max(first.len() + data.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads and discards a body, within reason. Does not wait for it: a client that stopped sending
/// reads its response at once.
pub(in crate::http) fn discard(mut body: Body, headers: &HeaderMap, limit_bytes: usize) {
    // With `Expect: 100-continue`, the client waits for a response before it sends the body.
    if headers.contains_key(EXPECT) || body.is_end_stream() {
        return;
    }
    let mut left = limit_bytes.saturating_mul(DISCARD_TIMES);
    let reading = async move {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(still) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = still;
        }
    };
    // A client that sent even more finds the connection closed.
    tokio::spawn(tokio::time::timeout(DISCARD_FOR, reading));
}

fn too_large(limit_bytes: usize) -> Error {
    Error::new(Kind::BodyTooLarge, format!("the body is over the limit of {limit_bytes} bytes"))
}
