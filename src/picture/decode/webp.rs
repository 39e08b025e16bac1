//! Changes what a WebP's headers say beside the pixels, where the `image` crate would take it for
//! more than libwebp does, and so Pillow.
//!
//! The crate refuses a file whose header announces EXIF, XMP or a colour profile that is not there.
//! libwebp shows its pixels. `metadata.rs` reads the metadata.
//!
//! The crate blends the first frame of an animation with an empty canvas, which rounds its colours,
//! and mixes them with black where the header announces no transparency. libwebp draws the first
//! frame as it is.

use std::borrow::Cow;

/// Where the header `VP8X` states its flags.
const FLAGS: usize = 20;
/// A colour profile, EXIF and XMP (RFC 9649, section 2.7.1).
const METADATA: u8 = 0x20 | 0x08 | 0x04;
const ANIMATION: u8 = 0x02;
/// Where a chunk `ANMF` states its frame's flags, from the chunk's start.
const FRAME_FLAGS: usize = 8 + 15;
const DO_NOT_BLEND: u8 = 0x02;

/// The file without announced metadata, and with a first frame that is drawn as it is.
pub(super) fn as_libwebp_reads_it(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_extended = bytes.get(12..16) == Some(b"VP8X");
    let Some(&flags) = bytes.get(FLAGS).filter(|_| is_extended) else {
        return Cow::Borrowed(bytes);
    };
    let frame = if flags & ANIMATION == 0 { None } else { first_frame(bytes) };
    let frame_flags = frame.map(|start| start + FRAME_FLAGS).filter(|at| *at < bytes.len());
    if flags & METADATA == 0 && frame_flags.is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut plain = bytes.to_vec();
    plain[FLAGS] = flags & !METADATA;
    if let Some(at) = frame_flags {
        plain[at] |= DO_NOT_BLEND;
    }
    Cow::Owned(plain)
}

/// Where the first chunk `ANMF` starts.
fn first_frame(bytes: &[u8]) -> Option<usize> {
    let mut at: usize = 12;
    loop {
        let [a, b, c, d, size @ ..] = *bytes.get(at..)?.first_chunk::<8>()?;
        if [a, b, c, d] == *b"ANMF" {
            return Some(at);
        }
        let size = u32::from_le_bytes(size) as usize;
        at = at.checked_add(8)?.checked_add(size)?.checked_add(size % 2)?;
    }
}
