//! What camlens does, seen from outside: one file a behaviour.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod blocks;
mod cache;
mod cli;
mod dialects;
mod efficientnet_lite0;
mod engine;
mod estimate;
mod exports;
mod fast;
mod http;
mod layer_gradients;
mod methods;
mod net;
mod onnx_file;
mod outputs;
mod pictures;
mod rules;
mod support;
mod tails;
mod vgg16_mri;
mod zoo;
