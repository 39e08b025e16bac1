//! The fuzz targets as functions of bytes. Each states what holds for any input, beside that
//! nothing panics; libFuzzer looks for an input for which it does not (`make fuzz`), and
//! the test in `corpus.rs` runs each over the inputs that were found worth keeping.

pub mod api_keys;
#[cfg(test)]
mod corpus;
pub mod decode;
pub mod infer;
pub mod instances;
pub mod manifest;
mod memory;
pub mod multipart;
pub mod onnx;
pub mod options;
mod request;
pub mod single;
pub mod traceparent;
pub mod upload;

/// One target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 11] = [
    ("api_keys", api_keys::run),
    ("decode", decode::run),
    ("infer", infer::run),
    ("instances", instances::run),
    ("manifest", manifest::run),
    ("multipart", multipart::run),
    ("onnx", onnx::run),
    ("options", options::run),
    ("single", single::run),
    ("traceparent", traceparent::run),
    ("upload", upload::run),
];
