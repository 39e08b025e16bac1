//! See `camlens_fuzz::instances`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::instances::run(bytes));
