//! Reverse-mode differentiation of ONNX graphs: a model goes in, the same model with gradient
//! outputs comes out.

pub mod backward;
pub mod builder;
pub mod dtype;
pub mod facts;
pub mod index;
pub mod node;
pub mod passes;
pub mod proto;
pub mod quantized;
pub mod reachability;
pub mod vjp;
