//! Limits on the size of an image, checked before its pixels are decoded.

use super::errors::{no_pixels, too_large};
use crate::error::Result;

/// Limits on what decoding one image may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of pixels, width × height.
    pub max_pixels: u64,
}

impl Limits {
    /// Checks the size that an image's header declares.
    pub(super) fn check(self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(no_pixels(width, height));
        }
        if pixels > self.max_pixels {
            let reason = format!("The image has {width} × {height} = {pixels} pixels");
            return Err(too_large(&reason, self.max_pixels));
        }
        Ok(())
    }

    /// Maximum number of bytes that a decoder may allocate for an image of this size: two copies of
    /// every pixel as 16-bit RGBA, plus 16 MiB for what does not grow with the image (tables, a
    /// colour profile, one compressed strip).
    pub(super) const fn max_bytes(pixels: u64) -> u64 {
        pixels.saturating_mul(16).saturating_add(16 << 20)
    }
}
