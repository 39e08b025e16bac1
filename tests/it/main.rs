//! Integration tests: what camlens does, seen from outside. One folder per area, one file per
//! behaviour; `support` holds what the tests share.
#![expect(clippy::unwrap_used, reason = "a failing unwrap fails the test, which is intended")]

mod batch;
mod cli;
mod cli_images;
mod decoding;
mod engine;
mod export;
mod http;
mod layer_gradients;
mod methods;
mod models;
mod net;
mod pictures;
mod process;
mod rules;
mod support;
