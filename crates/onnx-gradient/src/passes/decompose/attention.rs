//! Attention: `softmax(q·kᵀ·scale + mask)·v`, one product per head.
//!
//! With `B` the batch, `H` heads, `S` queries, `T` keys and `d` the width of a head, query, key and
//! value are `[B, H, S, d]` and `[B, H, T, d]` once the heads are split. Nodes with key–value
//! caches, sequence lengths or the scores as an additional output are not decomposed; they occur in
//! language models.

use super::fused_node::FusedNode;
use crate::builder::GraphBuilder;
use crate::proto::{AttributeProto, NodeProto, data_type};

/// The standard operator of opsets 23 and 24. Query, key and value are `[B, H, S, d]`, or
/// `[B, S, H·d]` when attributes give the number of heads.
///
/// ONNX Runtime 1.32 accepts masks that end in `[S, T]`, with up to two axes before.
pub(super) fn standard(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let node = fused.node;
    let has_cache = (4..node.input.len()).any(|index| fused.input(index).is_some());
    if fused.has_outputs_besides(&[0]) || has_cache {
        return None;
    }
    let (q, k, v) = (fused.input(0)?, fused.input(1)?, fused.input(2)?);
    let (q_heads, kv_heads) = (node.int("q_num_heads", 0), node.int("kv_num_heads", 0));
    if q_heads == 0 {
        // The node does not state the numbers of heads, so those of queries and keys may differ.
        let attended = masked_attention(builder, fused, [q, k, v], true)?;
        return fused.set_output(builder, 0, &attended);
    }
    let q = split_heads(builder, q, q_heads);
    let (k, v) = (split_heads(builder, k, kv_heads), split_heads(builder, v, kv_heads));
    let attended = masked_attention(builder, fused, [&q, &k, &v], q_heads != kv_heads)?;
    let joined = join_heads(builder, &attended);
    fused.set_output(builder, 0, &joined)
}

/// Attention under the mask at input 3 and the attribute `is_causal`.
///
/// A query that may attend to no key gets zeros and passes no gradient, as in ONNX Runtime and
/// PyTorch; a softmax alone would give NaN. Like ONNX Runtime, and unlike PyTorch, this treats a
/// row in which every mask value is the lowest float as fully masked.
fn masked_attention(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    [q, k, v]: [&str; 3],
    is_grouped: bool,
) -> Option<String> {
    let causal = (fused.node.int("is_causal", 0) != 0).then(|| causal_mask(builder, q, k));
    let Some(mask) = fused.input(3) else {
        // Under the causal mask every query may attend to the first key.
        return Some(attention(builder, fused, [q, k, v], causal.as_deref(), is_grouped));
    };
    let mut mask = additive_mask(builder, fused, mask, q)?;
    if let Some(causal) = causal {
        mask = builder.add(&mask, &causal);
    }
    let last = builder.int64s(&[-1]);
    let (lowest, zero) = (builder.scalar_like(f32::MIN, q), builder.scalar_like(0.0, q));
    let best = builder.op("ReduceMax", &[&mask, &last]);
    let open = builder.op("Greater", &[&best, &lowest]);
    let mask = builder.op("Where", &[&open, &mask, &zero]);
    let attended = attention(builder, fused, [q, k, v], Some(&mask), is_grouped);
    Some(builder.op("Where", &[&open, &attended, &zero]))
}

/// A mask as a tensor that is added to the scores. A boolean mask becomes 0 where it is true and −∞
/// where it is false. `None` when the element type is unknown.
fn additive_mask(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    mask: &str,
    q: &str,
) -> Option<String> {
    if fused.element_type(mask)? != data_type::BOOL {
        return Some(builder.op("CastLike", &[mask, q]));
    }
    let (open, closed) = (builder.scalar_like(0.0, q), builder.scalar_like(f32::NEG_INFINITY, q));
    Some(builder.op("Where", &[mask, &open, &closed]))
}

/// `[S, T]`: −∞ where the key's position is after the query's, else 0.
fn causal_mask(builder: &mut GraphBuilder, q: &str, k: &str) -> String {
    let (queries, keys) = (builder.sizes(q, 2, 3), builder.sizes(k, 2, 3));
    let shape = builder.op_with("Concat", &[&queries, &keys], [AttributeProto::int("axis", 0)]);
    let closed = builder.scalar(f32::NEG_INFINITY);
    let all = builder.op("Expand", &[&closed, &shape]);
    let first = builder.int64s(&[1]);
    let above_diagonal = builder.op("Trilu", &[&all, &first]);
    builder.op("CastLike", &[&above_diagonal, q])
}

/// `com.microsoft.MultiHeadAttention`: separate query, key and value `[B, S, H·d]`, one bias for
/// all three, an additive mask.
pub(super) fn multi_head(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let heads = fused.node.int("num_heads", 0);
    let mut others = [4].into_iter().chain(6..fused.node.input.len());
    let unidirectional = fused.node.int("unidirectional", 0) != 0;
    if heads == 0 || unidirectional || others.any(|index| fused.input(index).is_some()) {
        return None;
    }
    if fused.has_outputs_besides(&[0]) {
        return None;
    }
    let mut parts =
        [fused.input(0)?.to_owned(), fused.input(1)?.to_owned(), fused.input(2)?.to_owned()];
    if let Some(bias) = fused.input(3) {
        for (part, bias) in split_in_three(builder, bias, 0).into_iter().enumerate() {
            parts[part] = builder.add(&parts[part], &bias);
        }
    }
    microsoft_attention(builder, fused, &parts, heads)
}

/// `com.microsoft.Attention`: `x·W + b` holds query, key and value side by side.
pub(super) fn packed(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let heads = fused.node.int("num_heads", 0);
    let mut others = [3, 4].into_iter().chain(6..fused.node.input.len());
    let is_plain = fused.node.int("unidirectional", 0) == 0
        && fused.node.int("do_rotary", 0) == 0
        && fused.node.attribute("qkv_hidden_sizes").is_none()
        && !others.any(|index| fused.input(index).is_some());
    if heads == 0 || !is_plain || fused.has_outputs_besides(&[0]) {
        return None;
    }
    let mut all = builder.op("MatMul", &[fused.input(0)?, fused.input(1)?]);
    if let Some(bias) = fused.input(2) {
        all = builder.add(&all, bias);
    }
    let parts = split_in_three(builder, &all, -1);
    microsoft_attention(builder, fused, &parts, heads)
}

/// Attention of query, key and value `[B, S, H·d]`, with the additive mask that both operators of
/// `com.microsoft` take at input 5.
fn microsoft_attention(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    parts: &[String; 3],
    heads: i64,
) -> Option<()> {
    let [q, k, v] = parts.each_ref().map(|part| split_heads(builder, part, heads));
    let attended = attention(builder, fused, [&q, &k, &v], fused.input(5), false);
    let joined = join_heads(builder, &attended);
    fused.set_output(builder, 0, &joined)
}

/// `softmax(c·tanh(q·kᵀ·scale / c) + mask)·v`, where `c` is the attribute `softcap` and 0 means no
/// cap. The default scale is `1/√d`.
///
/// With `is_grouped`, several adjacent heads of queries may share one head of keys and values.
fn attention(
    builder: &mut GraphBuilder,
    fused: &FusedNode<'_>,
    [q, k, v]: [&str; 3],
    mask: Option<&str>,
    is_grouped: bool,
) -> String {
    let product = if is_grouped { grouped_matmul } else { plain_matmul };
    let transposed = builder.transpose(k, [0, 1, 3, 2]);
    let scale =
        fused.node.attribute("scale").and_then(|scale| scale.f).filter(|&scale| scale != 0.0);
    let factor = match scale {
        Some(scale) => builder.scalar_like(scale, q),
        None => {
            let width = builder.sizes(q, 3, 4);
            let width = builder.op("CastLike", &[&width, q]);
            let root = builder.op("Sqrt", &[&width]);
            builder.op("Reciprocal", &[&root])
        }
    };
    let scaled = builder.mul(q, &factor);
    let mut scores = product(builder, &scaled, &transposed);
    let softcap = fused.node.float("softcap", 0.0);
    if softcap != 0.0 {
        let cap = builder.scalar_like(softcap, q);
        let capped = builder.div(&scores, &cap);
        let capped = builder.op("Tanh", &[&capped]);
        scores = builder.mul(&capped, &cap);
    }
    if let Some(mask) = mask {
        scores = builder.add(&scores, mask);
    }
    let weights = builder.op_with("Softmax", &[&scores], [AttributeProto::int("axis", -1)]);
    product(builder, &weights, v)
}

/// `[B, H, S, n]` times `[B, H, n, m]`.
fn plain_matmul(builder: &mut GraphBuilder, rows: &str, columns: &str) -> String {
    builder.op("MatMul", &[rows, columns])
}

/// `[B, g·H, S, n]` times `[B, H, n, m]`. The rows of `g` heads become `g·S` rows of one head, so
/// the columns need not be repeated.
fn grouped_matmul(builder: &mut GraphBuilder, rows: &str, columns: &str) -> String {
    let (heads, width) = (builder.sizes(columns, 1, 2), builder.sizes(rows, 3, 4));
    let grouped = reshape(builder, rows, |copied, rest| vec![copied, heads, rest, width]);
    let product = builder.op("MatMul", &[&grouped, columns]);
    let heads_and_rows = builder.sizes(rows, 1, 3);
    reshape(builder, &product, |copied, rest| vec![copied, heads_and_rows, rest])
}

/// `x` in the shape that `shape` concatenates. Its arguments are the `Reshape` sizes 0, which
/// copies a size of `x`, and −1, which stands for the remaining size.
fn reshape(
    builder: &mut GraphBuilder,
    x: &str,
    shape: impl FnOnce(String, String) -> Vec<String>,
) -> String {
    let shape = shape(builder.int64s(&[0]), builder.int64s(&[-1]));
    let parts: Vec<&str> = shape.iter().map(String::as_str).collect();
    let shape = builder.op_with("Concat", &parts, [AttributeProto::int("axis", 0)]);
    builder.op("Reshape", &[x, &shape])
}

/// `[B, S, H·d]` to `[B, H, S, d]`.
fn split_heads(builder: &mut GraphBuilder, x: &str, heads: i64) -> String {
    let split = builder.reshape(x, &[0, 0, heads, -1]);
    builder.transpose(&split, [0, 2, 1, 3])
}

/// `[B, H, S, d]` to `[B, S, H·d]`.
fn join_heads(builder: &mut GraphBuilder, x: &str) -> String {
    let transposed = builder.transpose(x, [0, 2, 1, 3]);
    builder.reshape(&transposed, &[0, 0, -1])
}

/// Three equal parts along an axis.
fn split_in_three(builder: &mut GraphBuilder, x: &str, axis: i64) -> [String; 3] {
    let parts = [0, 1, 2].map(|part| format!("{}/{part}", builder.fresh_name()));
    let names: Vec<&str> = parts.iter().map(String::as_str).collect();
    let split = NodeProto::new("Split", &[x], &names)
        .with(AttributeProto::int("axis", axis))
        .with(AttributeProto::int("num_outputs", 3));
    builder.nodes.push(split);
    parts
}
