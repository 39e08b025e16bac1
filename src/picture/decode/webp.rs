//! Clears what a WebP's header announces beside the pixels.
//!
//! The `image` crate refuses a file whose header announces EXIF, XMP or a colour profile that is
//! not there. libwebp, and so Pillow, shows its pixels. `metadata.rs` reads the metadata.

use std::borrow::Cow;

/// Where the header `VP8X` states its flags.
const FLAGS: usize = 20;
/// A colour profile, EXIF and XMP (RFC 9649, section 2.7.1).
const METADATA: u8 = 0x20 | 0x08 | 0x04;

/// The file without announced metadata.
pub(super) fn without_announcements(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_extended = bytes.get(12..16) == Some(b"VP8X");
    match bytes.get(FLAGS) {
        Some(flags) if is_extended && flags & METADATA != 0 => {
            let mut plain = bytes.to_vec();
            plain[FLAGS] = flags & !METADATA;
            Cow::Owned(plain)
        }
        _ => Cow::Borrowed(bytes),
    }
}
