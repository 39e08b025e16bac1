//! Ties: which of several equal values receives the gradient of their maximum.
//!
//! At a tie the maximum has no derivative, so finite differences decide nothing. Each operator
//! follows the frameworks that export it:
//!
//! - `GlobalMaxPool`, `ReduceMax`, `ReduceMin`: all equal values share the gradient evenly, as in
//!   TensorFlow's `reduce_max`, which Keras's global pooling calls, and in PyTorch's `amax`.
//! - `Max`, `Min`: all equal inputs share it evenly, as in PyTorch's `maximum`.
//! - `MaxPool`: the first value of the window, in row-major order, receives all of it, as in
//!   PyTorch's `max_pool2d` and TensorFlow's `max_pool`.
//! - `TopK`: the values that the runtime returns receive it.
//!
//! PyTorch's `max(dim=…)` and `adaptive_max_pool2d` choose one of equal values, yet export as
//! `ReduceMax` and `GlobalMaxPool`; the graph does not show the difference. On a dead channel,
//! where all values are 0, that one would be a corner of the map that the network never looked at.

use crate::builder::GraphBuilder;

/// `gradient · [input = extreme] / n`, where `n` elements of `input` along `axes` are equal to
/// `extreme`. `gradient` and `extreme` have size 1 along `axes`.
pub(super) fn share_evenly(
    builder: &mut GraphBuilder,
    input: &str,
    extreme: &str,
    gradient: &str,
    axes: &[i64],
) -> String {
    let chosen = builder.op("Equal", &[input, extreme]);
    let chosen = builder.to_float(&chosen);
    let count = builder.reduce_sum(&chosen, axes, true);
    let share = builder.div(gradient, &count);
    builder.mul(&chosen, &share)
}
