//! Normalisations with a sum before them, and those that subtract no mean.

use super::steps::Steps;
use crate::proto::AttributeProto;

/// x/√(mean x² + ε)·γ.
pub(super) fn simplified(steps: &mut Steps<'_>) -> Option<()> {
    if steps.makes_others(&[0]) {
        return None;
    }
    let (x, gamma) = (steps.input(0)?, steps.input(1)?);
    let normal = root_mean_square(steps, x, gamma)?;
    steps.finish(0, &normal)
}

/// The layer normalisation of input + skip + bias.
pub(super) fn skip(steps: &mut Steps<'_>) -> Option<()> {
    let sum = sum(steps, 4)?;
    let epsilon = AttributeProto::float("epsilon", steps.node.float("epsilon", 1e-12));
    let mut inputs = vec![sum.as_str(), steps.input(2)?];
    inputs.extend(steps.input(3));
    let normal =
        steps.with("LayerNormalization", &inputs, vec![AttributeProto::int("axis", -1), epsilon]);
    steps.finish(0, &normal)
}

/// The same without a mean: x/√(mean x² + ε)·γ for x = input + skip + bias.
pub(super) fn skip_simplified(steps: &mut Steps<'_>) -> Option<()> {
    let sum = sum(steps, 3)?;
    let gamma = steps.input(2)?;
    let normal = root_mean_square(steps, &sum, gamma)?;
    steps.finish(0, &normal)
}

/// input + skip, and the bias at input `bias` where there is one; the sum is the fourth output.
fn sum(steps: &mut Steps<'_>, bias: usize) -> Option<String> {
    if steps.makes_others(&[0, 3]) {
        return None;
    }
    let mut sum = steps.op("Add", &[steps.input(0)?, steps.input(1)?]);
    if let Some(bias) = steps.input(bias) {
        sum = steps.op("Add", &[&sum, bias]);
    }
    if steps.node.output.get(3).is_some_and(|name| !name.is_empty()) {
        steps.finish(3, &sum)?;
    }
    Some(sum)
}

/// x/√(mean x² + ε)·γ over the last axis.
fn root_mean_square(steps: &mut Steps<'_>, x: &str, gamma: &str) -> Option<String> {
    if steps.node.int("axis", -1) != -1 {
        return None;
    }
    let squared = steps.op("Mul", &[x, x]);
    let last = steps.ints(&[-1]);
    let mean = steps.op("ReduceMean", &[&squared, &last]);
    let epsilon = steps.number(steps.node.float("epsilon", 1e-5), x);
    let mean = steps.op("Add", &[&mean, &epsilon]);
    let size = steps.op("Sqrt", &[&mean]);
    let normal = steps.op("Div", &[x, &size]);
    Some(steps.op("Mul", &[&normal, gamma]))
}
