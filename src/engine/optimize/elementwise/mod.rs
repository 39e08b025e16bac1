//! Groups of elementwise operators, evaluated in one pass over memory.
//!
//! The backward pass of an activation function is a handful of operators, and the runtime reads and
//! writes memory for each of them. One node replaces each group. A group has one result; a tensor
//! that is also read elsewhere is not merged into the group.

mod loop_body;
mod operator;
mod pass;

pub(super) use operator::{Elementwise, expression_from_attributes};
pub(super) use pass::{CONSTANTS, OPERATOR, STEPS, SUMS, fuse};
