//! Fused elementwise arithmetic: a whole expression is evaluated on a chunk of elements while they
//! are in the cache.
//!
//! Backward passes consist largely of such arithmetic. The derivative of one activation function
//! is ten operators, and a runtime that runs them one by one reads and writes memory for each. Here
//! every input is read once and the result is written once.
//!
//! An [`Expression`] broadcasts its inputs as NumPy does. Every step rounds as if it ran alone, so
//! the values are those that the separate operators give. Conditions are floats, too: 0 and 1.
//!
//! Modules, from the bottom up: `types` (operations and steps), `activation_grads` (steps that are
//! the gradient of an activation function), `fusion` (steps to fused steps), `step_kernels` (the
//! loops), `buffer` and `broadcast` (operands), `expression`, and `bound` (an expression with its
//! inputs, alone or inside another kernel).

mod activation_grads;
mod bound;
mod broadcast;
mod buffer;
mod expression;
mod fusion;
mod step_kernels;
#[cfg(test)]
mod tests;
mod types;

pub use bound::BoundExpression;
pub use expression::Expression;
pub use types::{Op, Step, Tensor};
