//! Reads a body as other servers' clients send it: often without a `Content-Type`, sometimes
//! compressed.

use std::io::Read;

use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::request::Parts;
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::error::{Error, Kind, Result};
use crate::http::extract::body::{collect, discard};

/// The codings that a body may have, for `Accept-Encoding` in a refusal.
pub(super) const CODINGS: &str = "gzip, deflate";

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    /// The zlib format, as HTTP's `deflate` means.
    Deflate,
}

/// Reads a body of at most `limit_bytes`, before and after it is decompressed.
///
/// # Errors
/// [`Kind::BodyTooLarge`], [`Kind::UnsupportedEncoding`] or [`Kind::Malformed`].
pub(in crate::http) async fn read(request: Request, limit_bytes: usize) -> Result<(Parts, Bytes)> {
    let (parts, body) = request.into_parts();
    let coding = match coding(&parts) {
        Ok(coding) => coding,
        Err(error) => {
            // A client that is still sending does not read the response: let it finish.
            discard(body, &parts.headers, limit_bytes);
            return Err(error);
        }
    };
    let bytes = collect(body, &parts.headers, limit_bytes).await?;
    if coding == Coding::Identity {
        return Ok((parts, bytes));
    }
    let bytes = blocking(move || decompress(&bytes, coding, limit_bytes)).await?;
    Ok((parts, bytes))
}

/// Runs work that takes too long for a network thread, such as parsing megabytes of JSON.
///
/// # Errors
/// Those of `work`, or [`Kind::Internal`] if it panics.
pub(in crate::http) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::internal("reading a request", panic)))
}

/// Whether a body is a JSON object. No image file begins like one.
pub(super) fn is_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().starts_with(b"{")
}

fn coding(parts: &Parts) -> Result<Coding> {
    let mut codings = Vec::new();
    for header in parts.headers.get_all(CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(header.as_bytes()).to_ascii_lowercase();
        codings.extend(text.split(',').map(|coding| coding.trim().to_owned()));
    }
    codings.retain(|coding| !coding.is_empty() && coding != "identity");
    let names: Vec<&str> = codings.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => Ok(Coding::Identity),
        ["gzip" | "x-gzip"] => Ok(Coding::Gzip),
        ["deflate"] => Ok(Coding::Deflate),
        other => {
            let detail =
                format!("Content-Encoding '{}' is not accepted; {CODINGS} are", other.join(", "));
            Err(Error::new(Kind::UnsupportedEncoding, detail))
        }
    }
}

fn decompress(bytes: &[u8], coding: Coding, limit_bytes: usize) -> Result<Bytes> {
    let (reader, name): (Box<dyn Read + '_>, _) = match coding {
        Coding::Gzip => (Box::new(MultiGzDecoder::new(bytes)), "gzip"),
        Coding::Deflate => (Box::new(ZlibDecoder::new(bytes)), "deflate"),
        Coding::Identity => return Ok(Bytes::copy_from_slice(bytes)),
    };
    // One byte more than the limit tells a body at the limit from one over it.
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut decompressed = Vec::new();
    reader.take(limit).read_to_end(&mut decompressed).map_err(|error| {
        let detail = format!("the body is not {name}, as Content-Encoding says: {error}");
        Error::new(Kind::Malformed, detail).caused_by(error)
    })?;
    if decompressed.len() > limit_bytes {
        let detail = format!("the decompressed body is over the limit of {limit_bytes} bytes");
        return Err(Error::new(Kind::BodyTooLarge, detail));
    }
    Ok(decompressed.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_deflate_are_decompressed_up_to_the_limit() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"a body").unwrap();
        let zlib = zlib.finish().unwrap();
        for (bytes, coding) in [(gzip(b"a body"), Coding::Gzip), (zlib, Coding::Deflate)] {
            assert_eq!(decompress(&bytes, coding, 6).unwrap(), "a body");
            let error = decompress(&bytes, coding, 5).unwrap_err();
            assert_eq!(error.kind(), Kind::BodyTooLarge);
            let error = decompress(&bytes[..bytes.len() / 2], coding, 100).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed);
        }
    }

    #[test]
    fn a_body_that_expands_a_thousandfold_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 10_000);
        let error = decompress(&bomb, Coding::Gzip, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), Kind::BodyTooLarge);
    }

    #[test]
    fn json_is_told_from_an_image_by_its_first_byte() {
        assert!(is_json(b"{}") && is_json(b" \n{\"a\":1}") && is_json(b"\xef\xbb\xbf{}"));
        assert!(!is_json(b"\x89PNG\r\n\x1a\n") && !is_json(b"") && !is_json(b"[1]"));
    }
}
