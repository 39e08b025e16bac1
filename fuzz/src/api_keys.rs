//! A file of API keys.

use camlens::error::Kind;
use camlens::http::middleware::keys::ApiKeys;

use crate::memory;

/// A file that is read protects: each of its keys is one, and nothing shorter or empty is. A
/// refusal quotes no line of it.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys = || lines().filter(|line| !line.starts_with('#'));
    let is_key = |line: &str| line.len() >= 16 && line.bytes().all(|byte| byte.is_ascii_graphic());
    match memory::within(16 * bytes.len() + (16 << 10), || ApiKeys::parse(text)) {
        Ok(read) => {
            assert!(keys().count() > 0 && keys().all(is_key));
            for key in keys().take(8) {
                assert!(read.contains(key.as_bytes()));
                let shorter = &key[..key.len() - 1];
                assert_eq!(read.contains(shorter.as_bytes()), keys().any(|key| key == shorter));
            }
            assert!(!read.contains(b"") && !read.contains(b"# no key of this file"));
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Setup);
            assert!(keys().count() == 0 || !keys().all(is_key));
            // Words of the message itself are no secret.
            let secret = |line: &&str| line.len() >= 16 && error.detail().contains(*line);
            assert_eq!(keys().find(secret), None, "{error}");
        }
    }
}
