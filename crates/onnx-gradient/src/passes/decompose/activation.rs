//! Activation functions that are operators of their own, or part of one.

use super::steps::Steps;
use crate::proto::AttributeProto;

/// ½x(1 + erf(x/√2)), of the sum with a bias where there is one.
pub(super) fn gelu(steps: &mut Steps<'_>) -> Option<()> {
    let x = biased(steps)?;
    let root = steps.number(std::f32::consts::FRAC_1_SQRT_2, &x);
    let scaled = steps.op("Mul", &[&x, &root]);
    let error = steps.op("Erf", &[&scaled]);
    let gelu = half_of_one_plus(steps, &x, &error);
    steps.finish(0, &gelu)
}

/// ½x(1 + tanh(√(2/π)·(x + 0.044715x³))), of the sum with a bias where there is one.
pub(super) fn fast_gelu(steps: &mut Steps<'_>) -> Option<()> {
    let x = biased(steps)?;
    let slope = (2.0 / std::f32::consts::PI).sqrt();
    let (linear, cubic) = (steps.number(slope, &x), steps.number(slope * 0.044_715, &x));
    let squared = steps.op("Mul", &[&x, &x]);
    let bend = steps.op("Mul", &[&squared, &cubic]);
    let factor = steps.op("Add", &[&bend, &linear]);
    let inner = steps.op("Mul", &[&x, &factor]);
    let t = steps.op("Tanh", &[&inner]);
    let gelu = half_of_one_plus(steps, &x, &t);
    steps.finish(0, &gelu)
}

/// x·σ(αx).
pub(super) fn quick_gelu(steps: &mut Steps<'_>) -> Option<()> {
    let x = steps.input(0)?;
    let alpha = steps.number(steps.node.float("alpha", 1.702), x);
    let scaled = steps.op("Mul", &[x, &alpha]);
    let gate = steps.op("Sigmoid", &[&scaled]);
    let gated = steps.op("Mul", &[x, &gate]);
    steps.finish(0, &gated)
}

/// The first input, with the second added where there is one.
fn biased(steps: &mut Steps<'_>) -> Option<String> {
    let x = steps.input(0)?;
    Some(match steps.input(1) {
        Some(bias) => steps.op("Add", &[x, bias]),
        None => x.to_owned(),
    })
}

fn half_of_one_plus(steps: &mut Steps<'_>, x: &str, y: &str) -> String {
    let (one, half) = (steps.number(1.0, x), steps.number(0.5, x));
    let level = steps.op("Add", &[y, &one]);
    let level = steps.op("Mul", &[&level, &half]);
    steps.op("Mul", &[x, &level])
}

/// `x` behind the activation that the node's attributes name; `FusedGemm` has its numbers one by
/// one.
pub(super) fn named(steps: &mut Steps<'_>, x: &str) -> Option<String> {
    let node = steps.node;
    let listed = node.attribute("activation_params").map(|list| list.floats.as_slice());
    let parameter = |index: usize, name: &str, default: f32| {
        listed.and_then(|list| list.get(index)).copied().unwrap_or(node.float(name, default))
    };
    let number = AttributeProto::float;
    Some(match node.string("activation", "") {
        "" => x.to_owned(),
        op @ ("Relu" | "Sigmoid" | "Tanh" | "Softplus") => steps.op(op, &[x]),
        op @ "LeakyRelu" => {
            steps.with(op, &[x], vec![number("alpha", parameter(0, "activation_alpha", 0.01))])
        }
        op @ "HardSigmoid" => {
            let (alpha, beta) =
                (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
            steps.with(op, &[x], vec![number("alpha", alpha), number("beta", beta)])
        }
        "Clip" => {
            let (low, high) = (
                parameter(0, "activation_alpha", f32::MIN),
                parameter(1, "activation_beta", f32::MAX),
            );
            let (low, high) = (steps.number(low, x), steps.number(high, x));
            steps.op("Clip", &[x, &low, &high])
        }
        _ => return None,
    })
}
