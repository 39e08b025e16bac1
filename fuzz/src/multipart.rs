//! A form with the boundary `b`, for `/v1/explain` and for TorchServe's paths.

use camlens::app::Operation;
use camlens::http::fuzzing::{native, single};

use crate::request::{LIMIT_BYTES, check, request};

/// The file in a form that is accepted is a part of the body, byte for byte. What one of the two
/// readers accepts, both do, unless the file's field has a name that only one of them knows.
pub fn run(body: &[u8]) {
    let headers: [(&str, &[u8]); 1] = [("content-type", b"multipart/form-data; boundary=b")];
    let make = || request(b"", &headers, body);
    let own = check(body.len(), make, |request| native(Operation::Explain, request, LIMIT_BYTES));
    let torch = check(body.len(), make, |request| single(Operation::Explain, request, LIMIT_BYTES));
    for reading in [&own, &torch].into_iter().flatten().flatten() {
        let image = &*reading.images[0];
        let is_part = |window: &[u8]| window == image;
        assert!(image.is_empty() || body.windows(image.len()).any(is_part));
    }
    if let (Some(Ok(own)), Some(torch)) = (own, torch) {
        assert_eq!(torch.map(|torch| torch.images).ok(), Some(own.images));
    }
}
