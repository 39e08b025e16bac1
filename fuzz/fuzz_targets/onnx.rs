//! See `camlens_fuzz::onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camlens_fuzz::onnx::run(bytes));
