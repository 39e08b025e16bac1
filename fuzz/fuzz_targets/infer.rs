//! See `camlens_fuzz::infer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::infer::run(bytes));
