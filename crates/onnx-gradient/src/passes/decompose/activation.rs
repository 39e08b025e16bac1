//! Activation functions, as operators and as attributes of fused operators.

use super::fused_node::FusedNode;
use crate::builder::GraphBuilder;
use crate::proto::AttributeProto;

/// `½x(1 + erf(x/√2))`, where `x` includes the bias at input 1.
pub(super) fn gelu(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let x = biased_input(builder, fused)?;
    let root = builder.scalar_like(std::f32::consts::FRAC_1_SQRT_2, &x);
    let scaled = builder.op("Mul", &[&x, &root]);
    let error = builder.op("Erf", &[&scaled]);
    let gelu = half_of_one_plus(builder, &x, &error);
    fused.set_output(builder, 0, &gelu)
}

/// `½x(1 + tanh(√(2/π)·(x + 0.044715x³)))`, where `x` includes the bias at input 1.
pub(super) fn fast_gelu(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let x = biased_input(builder, fused)?;
    let slope = (2.0 / std::f32::consts::PI).sqrt();
    let (linear, cubic) =
        (builder.scalar_like(slope, &x), builder.scalar_like(slope * 0.044_715, &x));
    let squared = builder.op("Mul", &[&x, &x]);
    let bend = builder.op("Mul", &[&squared, &cubic]);
    let factor = builder.op("Add", &[&bend, &linear]);
    let inner = builder.op("Mul", &[&x, &factor]);
    let t = builder.op("Tanh", &[&inner]);
    let gelu = half_of_one_plus(builder, &x, &t);
    fused.set_output(builder, 0, &gelu)
}

/// `x·σ(αx)`.
pub(super) fn quick_gelu(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let x = fused.input(0)?;
    let alpha = builder.scalar_like(fused.node.float("alpha", 1.702), x);
    let scaled = builder.op("Mul", &[x, &alpha]);
    let gate = builder.op("Sigmoid", &[&scaled]);
    let gated = builder.op("Mul", &[x, &gate]);
    fused.set_output(builder, 0, &gated)
}

/// Input 0, plus input 1 if there is one.
fn biased_input(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<String> {
    let x = fused.input(0)?;
    Some(match fused.input(1) {
        Some(bias) => builder.op("Add", &[x, bias]),
        None => x.to_owned(),
    })
}

/// `½x(1 + y)`.
fn half_of_one_plus(builder: &mut GraphBuilder, x: &str, y: &str) -> String {
    let (one, half) = (builder.scalar_like(1.0, x), builder.scalar_like(0.5, x));
    let level = builder.op("Add", &[y, &one]);
    let level = builder.op("Mul", &[&level, &half]);
    builder.op("Mul", &[x, &level])
}

/// The activation of `x` that the node's attributes specify. `FusedConv` lists the parameters in
/// `activation_params`, `FusedGemm` has an attribute for each.
pub(super) fn fused_activation(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    x: &str,
) -> Option<String> {
    let node = fused.node;
    let listed = node.attribute("activation_params").map(|list| list.floats.as_slice());
    let parameter = |index: usize, name: &str, default: f32| {
        listed.and_then(|list| list.get(index)).copied().unwrap_or(node.float(name, default))
    };
    let float = AttributeProto::float;
    Some(match node.string("activation", "") {
        "" => x.to_owned(),
        op @ ("Relu" | "Sigmoid" | "Tanh" | "Softplus") => builder.op(op, &[x]),
        op @ "LeakyRelu" => {
            builder.op_with(op, &[x], [float("alpha", parameter(0, "activation_alpha", 0.01))])
        }
        op @ "HardSigmoid" => {
            let (alpha, beta) =
                (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
            builder.op_with(op, &[x], [float("alpha", alpha), float("beta", beta)])
        }
        "Clip" => {
            let (low, high) = (
                parameter(0, "activation_alpha", f32::MIN),
                parameter(1, "activation_beta", f32::MAX),
            );
            let (low, high) = (builder.scalar_like(low, x), builder.scalar_like(high, x));
            builder.op("Clip", &[x, &low, &high])
        }
        _ => return None,
    })
}
