//! Errors that hyper answers itself, before there is a request: a head that is not HTTP, too large,
//! or with a path that is too long.
//!
//! hyper writes a head without a body and has no place for another one. So what it writes is
//! recognised on its way to the socket, and replaced by a problem. A response of the router always
//! carries [`REQUEST_ID`], so it is never taken for one of these.

use crate::error::{Error, Kind};
use crate::http::problem;

const REQUEST_ID: &[u8] = b"\r\nx-request-id:";
/// hyper's heads are far shorter.
const LONGEST: usize = 512;

/// What to write instead of these bytes, if they are an error of hyper's own.
pub(super) fn replacement(bytes: &[u8]) -> Option<Vec<u8>> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "))?;
    let is_head = bytes.len() <= LONGEST && bytes.ends_with(b"\r\n\r\n");
    let has_id = bytes.windows(REQUEST_ID.len()).any(|part| part == REQUEST_ID);
    if !is_head || has_id {
        return None;
    }
    let error = match status.get(..4)? {
        b"400 " => Error::new(Kind::Malformed, "the request line or a header is not valid HTTP"),
        b"414 " => Error::new(Kind::UriTooLong, "the path and the query are too long"),
        b"431 " => {
            Error::new(Kind::HeadTooLarge, "the head of the request has too many or long headers")
        }
        _ => return None,
    };
    Some(problem::raw_response(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_without_a_body_and_an_id_is_replaced() {
        let head = |status: &str, more: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{more}date: today\r\n\r\n")
        };
        for status in ["400 Bad Request", "414 URI Too Long", "431 Too Large"] {
            let replaced = replacement(head(status, "").as_bytes()).unwrap();
            let replaced = String::from_utf8(replaced).unwrap();
            assert!(replaced.starts_with(&format!("HTTP/1.1 {}", &status[..3])), "{replaced}");
            assert!(replaced.contains("application/problem+json"), "{replaced}");
            assert_eq!(replacement(head(status, "x-request-id: a\r\n").as_bytes()), None);
        }
        assert_eq!(replacement(head("200 OK", "").as_bytes()), None);
        assert_eq!(replacement(b"HTTP/1.1 400 Bad Request\r\n\r\nbody"), None);
        assert_eq!(replacement(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
    }
}
