//! `Einsum`.
//!
//! The gradient of an input is another `Einsum`, in which `∂L/∂y` replaces the input: for
//! `ab,bc->ac` that of the first input is `ac,bc->ab`. A letter that occurs in this input alone was
//! summed over, so the gradient is constant along it and is expanded.

use super::context::{InputGradients, VjpContext};
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::proto::AttributeProto;

/// See the module's documentation.
pub(super) fn einsum(builder: &mut GraphBuilder, ctx: &VjpContext<'_>) -> InputGradients {
    let equation: String = ctx.node.string("equation", "").split_whitespace().collect();
    let (inputs, output) =
        equation.split_once("->").ok_or_else(|| ctx.unsupported("leaves its output's axes out"))?;
    let inputs: Vec<&str> = inputs.split(',').collect();
    if equation.contains('.') || inputs.len() != ctx.node.input.len() {
        return Err(ctx.unsupported(format!("has the equation {equation}, which has no rule")));
    }
    let mut gradients = Vec::with_capacity(inputs.len());
    for (index, &letters) in inputs.iter().enumerate() {
        if !ctx.needs_grad(index) {
            gradients.push(None);
            continue;
        }
        let repeats =
            letters.chars().enumerate().any(|(at, letter)| letters[..at].contains(letter));
        if repeats {
            return Err(ctx.unsupported(format!("takes a diagonal: {equation}")));
        }
        let others = inputs.iter().enumerate().filter(|&(other, _)| other != index);
        let known: String = others.clone().map(|(_, &letters)| letters).chain([output]).collect();
        let remaining: String = letters.chars().filter(|&letter| known.contains(letter)).collect();
        let mut terms = vec![output];
        let mut tensors = vec![ctx.grad_output()?];
        for (other, &letters) in others {
            terms.push(letters);
            tensors.push(ctx.input(other)?);
        }
        let back = AttributeProto::string("equation", &format!("{}->{remaining}", terms.join(",")));
        let mut gradient = builder.op_with("Einsum", &tensors, vec![back]);
        let missing: Vec<i64> = (letters.chars().enumerate())
            .filter(|&(_, letter)| !remaining.contains(letter))
            .map(|(axis, _)| axis as i64)
            .collect();
        if !missing.is_empty() {
            let axes = builder.int64s(&missing);
            gradient = builder.op("Unsqueeze", &[&gradient, &axes]);
        }
        let sizes = ctx.shape(ctx.input(index)?)?;
        if broadcasts(ctx, &inputs, letters, sizes)? {
            return Err(ctx.unsupported("broadcasts a size of one"));
        }
        let input = ctx.input(index)?.to_owned();
        gradients.push(Some(if missing.is_empty() {
            gradient
        } else {
            builder.expand_like(&gradient, &input)
        }));
    }
    Ok(gradients)
}

/// True when a letter has size 1 in this input and a larger size in another.
fn broadcasts(
    ctx: &VjpContext<'_>,
    inputs: &[&str],
    letters: &str,
    sizes: &[i64],
) -> Result<bool, Error> {
    for (other, &names) in inputs.iter().enumerate() {
        let theirs = ctx.shape(ctx.input(other)?)?;
        for (letter, &size) in letters.chars().zip(sizes) {
            let position = names.chars().position(|name| name == letter);
            if size == 1
                && position.and_then(|position| theirs.get(position)).is_some_and(|&size| size > 1)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
