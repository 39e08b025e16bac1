//! What the tags of a TIFF file say about its pixels, beyond what the `image` crate reads.

use super::alpha::Alpha;
use super::ifd::{Ifd, tags};

/// The meaning of the channel behind the colours (TIFF 6.0, section 18, "ExtraSamples").
pub(super) fn alpha(bytes: &[u8]) -> Alpha {
    let kinds = Ifd::first(bytes).and_then(|ifd| ifd.numbers(tags::EXTRA_SAMPLES));
    match kinds.as_deref().and_then(|kinds| kinds.first()) {
        Some(1.0) => Alpha::Associated,
        Some(0.0) => Alpha::Other,
        // Files without the tag mean alpha, and Pillow reads them so.
        _ => Alpha::Straight,
    }
}
