//! `{"instances": […]}` of KServe v1 and Vertex AI: a line with `Content-Encoding`, one with the
//! query, and a body.

use camlens::app::Operation;
use camlens::http::fuzzing::instances;

use crate::request::{LIMIT_BYTES, check, line, request};

/// A body without instances is refused.
pub fn run(bytes: &[u8]) {
    let (encoding, rest) = line(bytes);
    let (query, body) = line(rest);
    // Decompressed, a body may have as many bytes as the limit.
    let most = if encoding.is_empty() { bytes.len() } else { bytes.len() + LIMIT_BYTES };
    for operation in [Operation::Explain, Operation::Predict] {
        let read = check(
            most,
            || request(query, &[("content-encoding", encoding)], body),
            |request| instances(operation, request, LIMIT_BYTES),
        );
        if let Some(Ok(reading)) = read {
            assert!(!reading.images.is_empty() || !reading.arrays.is_empty());
            assert_eq!(reading.options.model.as_deref(), Some("model"));
        }
    }
}
