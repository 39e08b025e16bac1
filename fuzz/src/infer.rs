//! The Open Inference Protocol: a line with the length of the JSON, if there is one, and a body of
//! JSON and binary tensors.

use camlens::http::fuzzing::infer;

use crate::request::{LIMIT_BYTES, check, line, request};

/// An accepted request has instances. With a length of 0 the body is one image, byte for byte.
pub fn run(bytes: &[u8]) {
    let (length, body) = line(bytes);
    let headers = [("inference-header-content-length", length)];
    let make = || request(b"", &headers, body);
    let read = check(bytes.len(), make, |request| infer(request, LIMIT_BYTES));
    if let Some(Ok(reading)) = read {
        assert!(!reading.images.is_empty() || !reading.arrays.is_empty());
        if length == b"0" {
            assert_eq!(reading.images, [body]);
        }
    }
}
