//! Attention: Softmax(q·kᵀ·scale + mask)·v, with the heads taken apart before and joined again behind.

use super::steps::Steps;
use crate::graph::proto::{AttributeProto, NodeProto};

/// Opset 23, without caches: a mask of floats is added; a mask of truths is not written out, nor is a
/// causal one.
pub(super) fn standard(steps: &mut Steps<'_>) -> Option<()> {
    let node = steps.node;
    let heads = (node.int("q_num_heads", 0), node.int("kv_num_heads", 0));
    let plain = node.int("is_causal", 0) == 0
        && node.float("softcap", 0.0) == 0.0
        && heads.0 == heads.1
        && (4..node.input.len()).all(|index| steps.input(index).is_none())
        && steps.input(3).is_none();
    if !plain || steps.makes_others(&[0]) {
        return None;
    }
    let (q, k, v) = (steps.input(0)?, steps.input(1)?, steps.input(2)?);
    let attended = if heads.0 == 0 {
        attend(steps, [q, k, v], None)
    } else {
        let [q, k, v] = [q, k, v].map(|part| apart(steps, part, heads.0));
        let attended = attend(steps, [&q, &k, &v], None);
        joined(steps, &attended)
    };
    steps.finish(0, &attended)
}

/// `com.microsoft`'s `MultiHeadAttention`: query, key and value `[B, S, H·d]` of their own, a bias for all
/// three, a mask that is added; caches and masks of lengths are not written out.
pub(super) fn multi_head(steps: &mut Steps<'_>) -> Option<()> {
    let heads = steps.node.int("num_heads", 0);
    let others = [4].into_iter().chain(6..steps.node.input.len());
    let unidirectional = steps.node.int("unidirectional", 0) != 0;
    if heads == 0 || unidirectional || others.into_iter().any(|index| steps.input(index).is_some()) {
        return None;
    }
    if steps.makes_others(&[0]) {
        return None;
    }
    let mut parts = [steps.input(0)?.to_owned(), steps.input(1)?.to_owned(), steps.input(2)?.to_owned()];
    if let Some(bias) = steps.input(3) {
        for (part, bias) in thirds(steps, bias, 0).into_iter().enumerate() {
            parts[part] = steps.op("Add", &[&parts[part], &bias]);
        }
    }
    several_heads(steps, &parts, heads)
}

/// `com.microsoft`'s `Attention`: x·W + b is query, key and value side by side.
pub(super) fn packed(steps: &mut Steps<'_>) -> Option<()> {
    let heads = steps.node.int("num_heads", 0);
    let others = [3, 4].into_iter().chain(6..steps.node.input.len());
    let plain = steps.node.int("unidirectional", 0) == 0
        && steps.node.int("do_rotary", 0) == 0
        && steps.node.attribute("qkv_hidden_sizes").is_none()
        && !others.into_iter().any(|index| steps.input(index).is_some());
    if heads == 0 || !plain || steps.makes_others(&[0]) {
        return None;
    }
    let mut all = steps.op("MatMul", &[steps.input(0)?, steps.input(1)?]);
    if let Some(bias) = steps.input(2) {
        all = steps.op("Add", &[&all, bias]);
    }
    let parts = thirds(steps, &all, -1);
    several_heads(steps, &parts, heads)
}

/// Query, key and value `[B, S, H·d]`; a mask that is added is the sixth input of both of `com.microsoft`'s.
fn several_heads(steps: &mut Steps<'_>, parts: &[String; 3], heads: i64) -> Option<()> {
    let [q, k, v] = parts.each_ref().map(|part| apart(steps, part, heads));
    let attended = attend(steps, [&q, &k, &v], steps.input(5));
    let joined = joined(steps, &attended);
    steps.finish(0, &joined)
}

/// Softmax(q·kᵀ·scale + mask)·v for `[B, H, S, d]`; without a scale it is 1/√d.
fn attend(steps: &mut Steps<'_>, [q, k, v]: [&str; 3], mask: Option<&str>) -> String {
    let turned = steps.with("Transpose", &[k], vec![order(&[0, 1, 3, 2])]);
    let scale = steps.node.attribute("scale").and_then(|scale| scale.f).filter(|&scale| scale != 0.0);
    let factor = match scale {
        Some(scale) => steps.number(scale, q),
        None => {
            let width = steps.with("Shape", &[q], vec![AttributeProto::int("start", 3)]);
            let width = steps.op("CastLike", &[&width, q]);
            let root = steps.op("Sqrt", &[&width]);
            steps.op("Reciprocal", &[&root])
        }
    };
    let scaled = steps.op("Mul", &[q, &factor]);
    let mut scores = steps.op("MatMul", &[&scaled, &turned]);
    if let Some(mask) = mask {
        scores = steps.op("Add", &[&scores, mask]);
    }
    let weights = steps.with("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
    steps.op("MatMul", &[&weights, v])
}

/// `[B, S, H·d]` as `[B, H, S, d]`.
fn apart(steps: &mut Steps<'_>, x: &str, heads: i64) -> String {
    let shape = steps.ints(&[0, 0, heads, -1]);
    let split = steps.op("Reshape", &[x, &shape]);
    steps.with("Transpose", &[&split], vec![order(&[0, 2, 1, 3])])
}

/// `[B, H, S, d]` as `[B, S, H·d]`.
fn joined(steps: &mut Steps<'_>, x: &str) -> String {
    let turned = steps.with("Transpose", &[x], vec![order(&[0, 2, 1, 3])]);
    let shape = steps.ints(&[0, 0, -1]);
    steps.op("Reshape", &[&turned, &shape])
}

fn thirds(steps: &mut Steps<'_>, x: &str, axis: i64) -> [String; 3] {
    let parts = [0, 1, 2].map(|part| format!("{}/{part}", steps.fresh()));
    let names: Vec<&str> = parts.iter().map(String::as_str).collect();
    let split = NodeProto::new("Split", &[x], &names)
        .with(AttributeProto::int("axis", axis))
        .with(AttributeProto::int("num_outputs", 3));
    steps.push(split);
    parts
}

fn order(perm: &[i64]) -> AttributeProto {
    AttributeProto::ints("perm", perm)
}
