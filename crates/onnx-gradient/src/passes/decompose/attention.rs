//! Attention: Softmax(q·kᵀ·scale + mask)·v, with the heads taken apart before and joined again
//! behind.
//!
//! Query, key and value are `[B, H, S, d]` once the heads are apart. Caches (past and present keys
//! and values, counts of what is no padding) and the scores as an output of their own belong to
//! language models: with them the operator stays as it is.

use super::steps::Steps;
use crate::proto::{AttributeProto, NodeProto, data_type};

/// The standard's, of opset 23 and 24: query, key and value `[B, H, S, d]`, or `[B, S, H·d]` with
/// the heads counted by attributes. ONNX Runtime 1.32 takes masks that end in `[S, T]` with up to
/// two axes before it.
pub(super) fn standard(steps: &mut Steps<'_>) -> Option<()> {
    let node = steps.node;
    if steps.makes_others(&[0]) || (4..node.input.len()).any(|index| steps.input(index).is_some()) {
        return None;
    }
    let (q, k, v) = (steps.input(0)?, steps.input(1)?, steps.input(2)?);
    let (q_heads, kv_heads) = (node.int("q_num_heads", 0), node.int("kv_num_heads", 0));
    if q_heads == 0 {
        // How many heads there are is not written in the node, so they may differ.
        let attended = masked(steps, [q, k, v], true)?;
        return steps.finish(0, &attended);
    }
    let (q, k, v) =
        (apart(steps, q, q_heads), apart(steps, k, kv_heads), apart(steps, v, kv_heads));
    let attended = masked(steps, [&q, &k, &v], q_heads != kv_heads)?;
    let joined = joined(steps, &attended);
    steps.finish(0, &joined)
}

/// Attention under the mask that the fourth input and `is_causal` are.
///
/// A query to which no key is open gets zeros, and passes no gradient: ONNX Runtime and PyTorch do
/// so, where a softmax by itself would give NaN. Like ONNX Runtime, and unlike PyTorch, this counts
/// the lowest number of a mask as closed where a whole row has it.
fn masked(steps: &mut Steps<'_>, [q, k, v]: [&str; 3], is_grouped: bool) -> Option<String> {
    let causal = (steps.node.int("is_causal", 0) != 0).then(|| not_later(steps, q, k));
    let Some(mask) = steps.input(3) else {
        // The first key is open to every query.
        return Some(attend(steps, [q, k, v], causal.as_deref(), is_grouped));
    };
    let mut mask = added(steps, mask, q)?;
    if let Some(causal) = causal {
        mask = steps.op("Add", &[&mask, &causal]);
    }
    let (last, lowest, zero) = (steps.ints(&[-1]), steps.number(f32::MIN, q), steps.number(0.0, q));
    let best = steps.op("ReduceMax", &[&mask, &last]);
    let open = steps.op("Greater", &[&best, &lowest]);
    let mask = steps.op("Where", &[&open, &mask, &zero]);
    let attended = attend(steps, [q, k, v], Some(&mask), is_grouped);
    Some(steps.op("Where", &[&open, &attended, &zero]))
}

/// A mask as what is added to the scores: of truths, 0 where a key takes part and −∞ where it does
/// not; of numbers, the numbers. `None` when it can't be told which of the two it is.
fn added(steps: &mut Steps<'_>, mask: &str, q: &str) -> Option<String> {
    if steps.element_type(mask)? != data_type::BOOL {
        return Some(steps.op("CastLike", &[mask, q]));
    }
    let (open, closed) = (steps.number(0.0, q), steps.number(f32::NEG_INFINITY, q));
    Some(steps.op("Where", &[mask, &open, &closed]))
}

/// `[S, T]`: −∞ where the key comes after the query in order, else 0.
fn not_later(steps: &mut Steps<'_>, q: &str, k: &str) -> String {
    let (queries, keys) = (sizes(steps, q, 2, 3), sizes(steps, k, 2, 3));
    let shape = steps.with("Concat", &[&queries, &keys], vec![AttributeProto::int("axis", 0)]);
    let closed = steps.float(f32::NEG_INFINITY);
    let all = steps.op("Expand", &[&closed, &shape]);
    let first = steps.ints(&[1]);
    let above_diagonal = steps.op("Trilu", &[&all, &first]);
    steps.op("CastLike", &[&above_diagonal, q])
}

/// `com.microsoft`'s `MultiHeadAttention`: query, key and value `[B, S, H·d]` of their own, a bias
/// for all three, a mask that is added; caches and masks of lengths are not written out.
pub(super) fn multi_head(steps: &mut Steps<'_>) -> Option<()> {
    let heads = steps.node.int("num_heads", 0);
    let others = [4].into_iter().chain(6..steps.node.input.len());
    let unidirectional = steps.node.int("unidirectional", 0) != 0;
    if heads == 0 || unidirectional || others.into_iter().any(|index| steps.input(index).is_some())
    {
        return None;
    }
    if steps.makes_others(&[0]) {
        return None;
    }
    let mut parts =
        [steps.input(0)?.to_owned(), steps.input(1)?.to_owned(), steps.input(2)?.to_owned()];
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

/// Query, key and value `[B, S, H·d]`; a mask that is added is the sixth input of both of
/// `com.microsoft`'s.
fn several_heads(steps: &mut Steps<'_>, parts: &[String; 3], heads: i64) -> Option<()> {
    let [q, k, v] = parts.each_ref().map(|part| apart(steps, part, heads));
    let attended = attend(steps, [&q, &k, &v], steps.input(5), false);
    let joined = joined(steps, &attended);
    steps.finish(0, &joined)
}

/// Softmax(q·kᵀ·scale + mask)·v, of which the scores before the mask are bent to ±c by c·tanh(x/c)
/// where there is a `softcap` c; without a scale it is 1/√d.
///
/// `is_grouped` allows for several heads of queries, next to each other, that share one of keys and
/// values.
fn attend(
    steps: &mut Steps<'_>,
    [q, k, v]: [&str; 3],
    mask: Option<&str>,
    is_grouped: bool,
) -> String {
    let product = if is_grouped { grouped_product } else { plain_product };
    let turned = steps.with("Transpose", &[k], vec![order(&[0, 1, 3, 2])]);
    let scale =
        steps.node.attribute("scale").and_then(|scale| scale.f).filter(|&scale| scale != 0.0);
    let factor = match scale {
        Some(scale) => steps.number(scale, q),
        None => {
            let width = sizes(steps, q, 3, 4);
            let width = steps.op("CastLike", &[&width, q]);
            let root = steps.op("Sqrt", &[&width]);
            steps.op("Reciprocal", &[&root])
        }
    };
    let scaled = steps.op("Mul", &[q, &factor]);
    let mut scores = product(steps, &scaled, &turned);
    let softcap = steps.node.float("softcap", 0.0);
    if softcap != 0.0 {
        let cap = steps.number(softcap, q);
        let bent = steps.op("Div", &[&scores, &cap]);
        let bent = steps.op("Tanh", &[&bent]);
        scores = steps.op("Mul", &[&bent, &cap]);
    }
    if let Some(mask) = mask {
        scores = steps.op("Add", &[&scores, mask]);
    }
    let weights = steps.with("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
    product(steps, &weights, v)
}

/// Each head's rows by its own columns.
fn plain_product(steps: &mut Steps<'_>, rows: &str, columns: &str) -> String {
    steps.op("MatMul", &[rows, columns])
}

/// `[B, g·H, S, n]` by `[B, H, n, m]`: g heads of rows are taken as more rows of one head, so that
/// no columns have to be copied.
fn grouped_product(steps: &mut Steps<'_>, rows: &str, columns: &str) -> String {
    let (heads, width) = (sizes(steps, columns, 1, 2), sizes(steps, rows, 3, 4));
    let grouped = reshaped(steps, rows, |same, rest| vec![same, heads, rest, width]);
    let product = steps.op("MatMul", &[&grouped, columns]);
    let heads_and_rows = sizes(steps, rows, 1, 3);
    reshaped(steps, &product, |same, rest| vec![same, heads_and_rows, rest])
}

/// The sizes of the axes from `start` to before `end`.
fn sizes(steps: &mut Steps<'_>, x: &str, start: i64, end: i64) -> String {
    let bounds = vec![AttributeProto::int("start", start), AttributeProto::int("end", end)];
    steps.with("Shape", &[x], bounds)
}

/// `x` in the shape that `shape` puts together, given the sizes "as in `x`" and "what is left".
fn reshaped(
    steps: &mut Steps<'_>,
    x: &str,
    shape: impl FnOnce(String, String) -> Vec<String>,
) -> String {
    let shape = shape(steps.ints(&[0]), steps.ints(&[-1]));
    let parts: Vec<&str> = shape.iter().map(String::as_str).collect();
    let shape = steps.with("Concat", &parts, vec![AttributeProto::int("axis", 0)]);
    steps.op("Reshape", &[x, &shape])
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
