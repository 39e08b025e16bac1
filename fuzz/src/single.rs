//! Bodies of TorchServe's and SageMaker's clients: a line with `Content-Type`, one with custom
//! attributes, and a body.

use camlens::app::Operation;
use camlens::http::fuzzing::single;

use crate::request::{LIMIT_BYTES, check, line, request};

/// An accepted request has one image.
pub fn run(bytes: &[u8]) {
    let (content_type, rest) = line(bytes);
    let (attributes, body) = line(rest);
    let headers =
        [("content-type", content_type), ("x-amzn-sagemaker-custom-attributes", attributes)];
    for operation in [Operation::Explain, Operation::Predict] {
        let read = check(
            bytes.len(),
            || request(b"", &headers, body),
            |request| single(operation, request, LIMIT_BYTES),
        );
        if let Some(Ok(reading)) = read {
            assert_eq!(reading.images.len(), 1);
        }
    }
}
