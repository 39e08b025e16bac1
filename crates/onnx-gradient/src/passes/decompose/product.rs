//! Convolutions and matrix products with what was fused into them: an activation, a sum,
//! a transposition, a factor.

use super::activation;
use super::steps::Steps;
use crate::proto::AttributeProto;

/// A convolution, a tensor that is added, an activation.
pub(super) fn conv(steps: &mut Steps<'_>) -> Option<()> {
    let window = ["kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"];
    let mut inputs = vec![steps.input(0)?, steps.input(1)?];
    inputs.extend(steps.input(2));
    let kept = steps.kept(&window);
    let mut result = steps.with("Conv", &inputs, kept);
    if let Some(added) = steps.input(3) {
        result = steps.op("Add", &[&result, added]);
    }
    let activated = activation::named(steps, &result)?;
    steps.finish(0, &activated)
}

/// A `Gemm` and an activation.
pub(super) fn gemm(steps: &mut Steps<'_>) -> Option<()> {
    let kept = steps.kept(&["alpha", "beta", "transA", "transB"]);
    let inputs: Vec<&str> = steps.node.input.iter().map(String::as_str).collect();
    let product = steps.with("Gemm", &inputs, kept);
    let activated = activation::named(steps, &product)?;
    steps.finish(0, &activated)
}

/// α·A′·B′, where ′ exchanges the last two axes when the attribute says so.
pub(super) fn matmul(steps: &mut Steps<'_>) -> Option<()> {
    let flag = |name: &str| steps.node.int(name, 0) != 0;
    if flag("transBatchA") || flag("transBatchB") {
        return None;
    }
    let (a, b) = (steps.input(0)?, steps.input(1)?);
    let (turn_a, turn_b) = (flag("transA"), flag("transB"));
    let a = if turn_a { last_two_exchanged(steps, a) } else { a.to_owned() };
    let b = if turn_b { last_two_exchanged(steps, b) } else { b.to_owned() };
    let mut product = steps.op("MatMul", &[&a, &b]);
    let alpha = steps.node.float("alpha", 1.0);
    if alpha != 1.0 {
        let alpha = steps.number(alpha, &product);
        product = steps.op("Mul", &[&product, &alpha]);
    }
    steps.finish(0, &product)
}

/// Any number of axes before the last two: they are taken as one, and put apart again. A
/// `Transpose` would have to know the rank.
fn last_two_exchanged(steps: &mut Steps<'_>, x: &str) -> String {
    let last = |steps: &mut Steps<'_>, start: i64, end: Option<i64>| {
        let mut bounds = vec![AttributeProto::int("start", start)];
        bounds.extend(end.map(|end| AttributeProto::int("end", end)));
        steps.with("Shape", &[x], bounds)
    };
    let (lead, rows, columns) =
        (last(steps, 0, Some(-2)), last(steps, -2, Some(-1)), last(steps, -1, None));
    let all = steps.ints(&[-1]);
    let concat = || vec![AttributeProto::int("axis", 0)];
    let flat = steps.with("Concat", &[&all, &rows, &columns], concat());
    let flat = steps.op("Reshape", &[x, &flat]);
    let turned = steps.with("Transpose", &[&flat], vec![AttributeProto::ints("perm", [0, 2, 1])]);
    let shape = steps.with("Concat", &[&lead, &columns, &rows], concat());
    steps.op("Reshape", &[&turned, &shape])
}
