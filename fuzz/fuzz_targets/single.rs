//! See `camlens_fuzz::single`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::single::run(bytes));
