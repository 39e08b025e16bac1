//! See `camlens_fuzz::api_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::api_keys::run(bytes));
