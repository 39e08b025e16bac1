//! What a head must have beyond being readable, by RFC 9110 and RFC 9112.

use axum::http::header::{EXPECT, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request, Version};

use crate::error::{Error, Kind, Result};
use crate::text::shortened;

/// # Errors
/// [`Kind::Malformed`] for an HTTP/1.1 request without one valid `Host` (RFC 9112, 3.2), or
/// [`Kind::UnknownExpectation`] for an `Expect` other than `100-continue` (RFC 9110, 10.1.1).
pub(super) fn check<B>(request: &Request<B>) -> Result<()> {
    if request.version() == Version::HTTP_11 {
        check_host(request.headers())?;
    }
    let expected = request.headers().get_all(EXPECT).iter();
    let mut members = expected.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_unknown = |member: &&[u8]| {
        let member = member.trim_ascii();
        !member.is_empty() && !member.eq_ignore_ascii_case(b"100-continue")
    };
    match members.find(is_unknown) {
        None => Ok(()),
        Some(member) => {
            let member = String::from_utf8_lossy(member.trim_ascii());
            let detail = format!("Expect: '{}' can't be met; 100-continue can", shortened(&member));
            Err(Error::new(Kind::UnknownExpectation, detail))
        }
    }
}

fn check_host(headers: &HeaderMap) -> Result<()> {
    let malformed = |detail: &'static str| Err(Error::new(Kind::Malformed, detail));
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return malformed("the request has no Host header, which HTTP/1.1 demands");
    };
    if hosts.next().is_some() {
        return malformed("the request has several Host headers; send one");
    }
    // It may be empty, where the target has no authority.
    let is_valid = |host: &[u8]| {
        let has_user = host.contains(&b'@');
        host.is_empty() || (!has_user && Authority::try_from(host).is_ok())
    };
    match is_valid(host.as_bytes()) {
        true => Ok(()),
        false => malformed("the Host header is no host with an optional port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, headers: &[(&'static str, &str)]) -> Option<Kind> {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|error| error.kind())
    }

    #[test]
    fn http_1_1_needs_one_valid_host() {
        for host in ["localhost", "a.example:8080", "[::1]:80", "10.0.0.1", ""] {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        for host in ["a b", "user@a", "a/b", "a:b:c"] {
            let found = status(Version::HTTP_11, &[("host", host)]);
            assert_eq!(found, Some(Kind::Malformed), "{host}");
        }
        assert_eq!(status(Version::HTTP_11, &[]), Some(Kind::Malformed));
        let twice = [("host", "a"), ("host", "a")];
        assert_eq!(status(Version::HTTP_11, &twice), Some(Kind::Malformed));
        assert_eq!(status(Version::HTTP_10, &[]), None);
        assert_eq!(status(Version::HTTP_2, &[]), None);
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        let expecting = |expect| status(Version::HTTP_11, &[("host", "a"), ("expect", expect)]);
        for known in ["100-continue", "100-Continue", "", " 100-continue , "] {
            assert_eq!(expecting(known), None, "{known}");
        }
        for unknown in ["200-ok", "100-continue, magic", "100-continue=1"] {
            assert_eq!(expecting(unknown), Some(Kind::UnknownExpectation), "{unknown}");
        }
    }
}
