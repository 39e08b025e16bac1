//! See `camlens_fuzz::multipart`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::multipart::run(bytes));
