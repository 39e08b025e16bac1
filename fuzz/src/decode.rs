//! An image file.

use camlens::error::Kind;
use camlens::picture::decode::{DeclaredSize, Limits, decode};

use crate::memory;

/// The limit on pixels.
const MAX_PIXELS: u64 = 1 << 16;

/// Every input decodes to an image within the limit, in the memory that its header announces, or
/// fails with an error that blames the upload. The service would catch a panic, but libFuzzer's
/// panic hook runs first and reports it.
pub fn run(bytes: &[u8]) {
    let limits = Limits { max_pixels: MAX_PIXELS };
    let pixels = DeclaredSize::read(bytes).map_or(0, |size| size.pixels().min(MAX_PIXELS));
    // `Limits::max_bytes`, the copies of a file that is repaired, and the result.
    let limit = usize::try_from(24 * pixels).unwrap_or(usize::MAX) + (16 << 20) + 4 * bytes.len();
    let run = || memory::within(limit, || decode(bytes, &limits));
    match (run(), run()) {
        (Ok(image), again) => {
            let pixels = u64::from(image.width()) * u64::from(image.height());
            assert!(pixels <= limits.max_pixels);
            assert_eq!(Some(image), again.ok());
        }
        (Err(error), again) => {
            assert!(matches!(
                error.kind(),
                Kind::UnsupportedImage | Kind::ImageTooLarge | Kind::CorruptImage
            ));
            assert_eq!(Some(error.kind()), again.err().map(|error| error.kind()));
        }
    }
}
