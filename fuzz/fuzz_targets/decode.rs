//! Any bytes give an image within the limit or an error that is the sender's, never a panic.
//!
//! The service catches a decoder's panic; libFuzzer's hook sees it first and stops.
#![no_main]

use camlens::error::Kind;
use camlens::picture::decode::{Limits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_pixels: 1 << 16 };
    match decode(bytes, &limits) {
        Ok(image) => {
            assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.max_pixels)
        }
        Err(error) => {
            assert!(matches!(
                error.kind(),
                Kind::UnsupportedImage | Kind::ImageTooLarge | Kind::CorruptImage
            ))
        }
    }
});
