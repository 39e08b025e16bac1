//! `/v1/explain`, `/v1/compare` and `/v1/predict`: a line with `Content-Type`, one with `Accept`,
//! one with the query, and a body.

use camlens::app::Operation;
use camlens::http::fuzzing::native;

use crate::request::{LIMIT_BYTES, check, line, request};

/// A raw body that is accepted is the image, byte for byte.
pub fn run(bytes: &[u8]) {
    let (content_type, rest) = line(bytes);
    let (accept, rest) = line(rest);
    let (query, body) = line(rest);
    let headers = [("content-type", content_type), ("accept", accept)];
    for operation in [Operation::Explain, Operation::Compare, Operation::Predict] {
        let read = check(
            bytes.len(),
            || request(query, &headers, body),
            |request| native(operation, request, LIMIT_BYTES),
        );
        let Some(Ok(reading)) = read else { continue };
        if content_type.to_ascii_lowercase().starts_with(b"image/") {
            assert_eq!(reading.images, [body]);
        }
        assert!(body.len() <= LIMIT_BYTES);
    }
}
