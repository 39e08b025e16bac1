//! ONNX Runtime, and nothing else in the crate names it.
