//! What holds for the reading of any request.

use std::cell::RefCell;
use std::future::Future;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use camlens::error::{Error, Kind};
use camlens::http::fuzzing::Reading;
use tokio::runtime::{Builder, Runtime};

use crate::memory;

/// The limit on a body.
pub(crate) const LIMIT_BYTES: usize = 16 << 10;
/// Reading takes at most this many times the length of an input, …
const TIMES: usize = 16;
/// … and this many bytes for what does not depend on it.
const FIXED_BYTES: usize = 192 << 10;
/// `MAX_DETAIL` and `MAX_QUOTED` in characters of four bytes, and the words around them.
const MAX_ERROR_BYTES: usize = 20_000;

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// The first line of the bytes, and the rest.
pub(crate) fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

/// A request with a query, headers and a body; `None` if HTTP cannot carry these.
pub(crate) fn request(query: &[u8], headers: &[(&str, &[u8])], body: &[u8]) -> Option<Request> {
    let query = std::str::from_utf8(query).ok()?;
    let mut request = Request::post(format!("/?{query}")).body(Body::from(body.to_vec())).ok()?;
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

/// Reads a request twice, and checks what holds for every one.
pub(crate) fn check<F: Future<Output = Result<Reading, Error>>>(
    input_bytes: usize,
    request: impl Fn() -> Option<Request>,
    read: impl Fn(Request) -> F,
) -> Option<Result<Reading, Error>> {
    let run = || {
        let request = request()?;
        let limit = TIMES * input_bytes + FIXED_BYTES;
        Some(memory::within(limit, || block_on(read(request))))
    };
    let first = run()?;
    let again = run()?;
    match (&first, &again) {
        (Ok(first), Ok(again)) => {
            assert_eq!(first, again);
            let images: usize = first.images.iter().map(|image| image.len()).sum();
            assert!(images <= LIMIT_BYTES, "{images} bytes of images");
            for (shape, values) in &first.arrays {
                assert_eq!(shape.iter().product::<usize>(), *values, "{shape:?}");
            }
            assert!(first.images.len() + first.arrays.len() <= 64);
        }
        (Err(first), Err(again)) => {
            assert_eq!((first.kind(), first.detail()), (again.kind(), again.detail()));
            assert!(is_of_client(first.kind()), "{first:?}");
            let length = first.detail().len() + first.option().map_or(0, str::len);
            assert!(length <= MAX_ERROR_BYTES, "an error of {length} bytes");
            assert!(!first.detail().is_empty());
        }
        _ => panic!("{first:?}, then {again:?}"),
    }
    Some(first)
}

/// Whether an error says that the request is at fault.
const fn is_of_client(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Malformed
            | Kind::Option
            | Kind::Impossible
            | Kind::BodyTooLarge
            | Kind::UnsupportedImage
            | Kind::UnsupportedEncoding
    )
}

/// Runs a future on this thread; work that may block gets a thread of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow_mut(|runtime| {
        let new = || Builder::new_current_thread().enable_time().build();
        match runtime {
            Some(runtime) => runtime.block_on(future),
            None => match new() {
                Ok(new) => runtime.insert(new).block_on(future),
                Err(error) => panic!("no runtime: {error}"),
            },
        }
    })
}
