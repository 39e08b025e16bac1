//! See `camlens_fuzz::upload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::upload::run(bytes));
