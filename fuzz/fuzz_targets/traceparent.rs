//! See `camlens_fuzz::traceparent`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::traceparent::run(bytes));
