//! Normalisations of a residual sum, and normalisations without a mean.

use super::fused_node::FusedNode;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// `γ·x / √(mean x² + ε)`.
pub(super) fn simplified(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    if fused.has_outputs_besides(&[0]) {
        return None;
    }
    let (x, gamma) = (fused.input(0)?, fused.input(1)?);
    let normal = rms_normalized(builder, fused, x, gamma)?;
    fused.set_output(builder, 0, &normal)
}

/// Layer normalisation of `input + skip + bias`.
pub(super) fn skip(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let sum = residual_sum(builder, fused, 4)?;
    let epsilon = AttributeProto::float("epsilon", fused.node.float("epsilon", 1e-12));
    let mut inputs = vec![sum.as_str(), fused.input(2)?];
    inputs.extend(fused.input(3));
    let axis = AttributeProto::int("axis", -1);
    let normal = builder.op_with("LayerNormalization", &inputs, [axis, epsilon]);
    fused.set_output(builder, 0, &normal)
}

/// `γ·x / √(mean x² + ε)` for `x = input + skip + bias`.
pub(super) fn skip_simplified(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let sum = residual_sum(builder, fused, 3)?;
    let gamma = fused.input(2)?;
    let normal = rms_normalized(builder, fused, &sum, gamma)?;
    fused.set_output(builder, 0, &normal)
}

/// `input + skip`, plus the bias at input `bias` if there is one. The sum is also output 3.
fn residual_sum(builder: &mut GraphBuilder, fused: &FusedNode<'_>, bias: usize) -> Option<String> {
    if fused.has_outputs_besides(&[0, 3]) {
        return None;
    }
    let mut sum = builder.op("Add", &[fused.input(0)?, fused.input(1)?]);
    if let Some(bias) = fused.input(bias) {
        sum = builder.op("Add", &[&sum, bias]);
    }
    if fused.node.output.get(3).is_some_and(|name| !name.is_empty()) {
        fused.set_output(builder, 3, &sum)?;
    }
    Some(sum)
}

/// `γ·x / √(mean x² + ε)` over the last axis.
fn rms_normalized(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    x: &str,
    gamma: &str,
) -> Option<String> {
    if fused.node.int("axis", -1) != -1 {
        return None;
    }
    let squared = builder.op("Mul", &[x, x]);
    let last = builder.int64s(&[-1]);
    let mean = builder.op("ReduceMean", &[&squared, &last]);
    let epsilon = builder.scalar_like(fused.node.float("epsilon", 1e-5), x);
    let mean = builder.op("Add", &[&mean, &epsilon]);
    let size = builder.op("Sqrt", &[&mean]);
    let normal = builder.op("Div", &[x, &size]);
    Some(builder.op("Mul", &[&normal, gamma]))
}
