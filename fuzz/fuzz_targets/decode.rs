//! Feeds arbitrary bytes to the image decoder.
//!
//! Every input decodes to an image within the pixel limit or fails with an error that blames the
//! upload; none panics. The service would catch the panic, but libFuzzer's panic hook runs first
//! and reports it.
#![no_main]

use camlens::error::Kind;
use camlens::picture::decode::{Limits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_pixels: 1 << 16 };
    match decode(bytes, &limits) {
        Ok(image) => {
            let pixels = u64::from(image.width()) * u64::from(image.height());
            assert!(pixels <= limits.max_pixels);
        }
        Err(error) => assert!(matches!(
            error.kind(),
            Kind::UnsupportedImage | Kind::ImageTooLarge | Kind::CorruptImage
        )),
    }
});
