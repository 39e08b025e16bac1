//! `Attention` of opset 23 and 24 in every form that it has without a cache. As for all fused
//! operators the runtime's own is held against the steps at load, here number by number.

use onnx_gradient::proto::AttributeProto;

use super::{Case, HEIGHT, all_agree, load, tokens};
use crate::net::{Net, int};

/// Queries, and so rows of every mask.
const ROWS: i64 = HEIGHT as i64;

fn number(name: &str, value: f32) -> AttributeProto {
    AttributeProto::float(name, value)
}

fn heads(queries: i64, keys: i64) -> Vec<AttributeProto> {
    vec![int("q_num_heads", queries), int("kv_num_heads", keys)]
}

/// A constant of truths, about two of three true; the first query is open to no key.
fn truths(n: &mut Net, dims: &[i64]) -> String {
    let values = n.weights(dims);
    let mut bounds = vec![-0.4; ROWS as usize];
    bounds[0] = 2.0;
    let (bounds, column) = (n.floats(&bounds), n.ints(&[ROWS, 1]));
    let bounds = n.op("Reshape", &[&bounds, &column]);
    n.op("Greater", &[&values, &bounds])
}

/// The same as numbers: −∞ where a key does not take part.
fn infinities(n: &mut Net, dims: &[i64]) -> String {
    let (open, values, none) = (truths(n, dims), n.weights(dims), n.float(f32::NEG_INFINITY));
    n.op("Where", &[&open, &values, &none])
}

/// The layer as query, and of it key and value `[N, 3, 4, 5]` and `[N, 3, 4, 2]`.
fn cross(n: &mut Net) -> [String; 3] {
    let (rows, columns) = (n.weights(&[4, ROWS]), n.weights(&[5, 2]));
    let key = n.op("MatMul", &[&rows, "layer"]);
    let value = n.op("MatMul", &[&key, &columns]);
    ["layer".to_owned(), key, value]
}

/// Attention of [`cross`] under a mask.
fn under(n: &mut Net, mask: &str, attributes: Vec<AttributeProto>) -> String {
    let [q, k, v] = cross(n);
    n.with("Attention", &[&q, &k, &v, mask], attributes)
}

const CASES: &[Case] = &[
    ("heads in an axis", -1.0, 1.0, |n| n.op("Attention", &["layer", "layer", "layer"])),
    ("heads side by side, a scale", -1.0, 1.0, |n| {
        let x = tokens(n);
        let weight = n.weights(&[15, 15]);
        let key = n.op("MatMul", &[&x, &weight]);
        n.with("Attention", &[&x, &key, &x], [heads(3, 3), vec![number("scale", 0.4)]].concat())
    }),
    ("opset 24", -1.0, 1.0, |n| {
        let swish = n.op("Swish", &["layer"]);
        n.op("Attention", &[&swish, "layer", &swish])
    }),
    ("truths [S, T]", -1.0, 1.0, |n| {
        let mask = truths(n, &[ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("truths [1, S, T]", -1.0, 1.0, |n| {
        let mask = truths(n, &[1, ROWS, 4]);
        under(n, &mask, vec![number("scale", 0.7)])
    }),
    ("truths [H, S, T]", -1.0, 1.0, |n| {
        let mask = truths(n, &[3, ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("truths [1, 1, S, T]", -1.0, 1.0, |n| {
        let mask = truths(n, &[1, 1, ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("truths [N, H, S, T]", -1.0, 1.0, |n| {
        let (constant, axis, first) = (truths(n, &[1, 3, ROWS, 4]), n.ints(&[1, 1, 1]), n.int(0));
        let shape = n.op("Shape", &["layer"]);
        let images = n.op("Gather", &[&shape, &first]);
        let axes = n.ints(&[0]);
        let images = n.op("Unsqueeze", &[&images, &axes]);
        let shape = n.with("Concat", &[&images, &axis], vec![int("axis", 0)]);
        let mask = n.op("Expand", &[&constant, &shape]);
        under(n, &mask, vec![])
    }),
    ("numbers [S, T]", -1.0, 1.0, |n| {
        let mask = n.weights(&[ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("numbers and infinities [H, S, T]", -1.0, 1.0, |n| {
        let mask = infinities(n, &[3, ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("numbers and infinities [1, H, S, T]", -1.0, 1.0, |n| {
        let mask = infinities(n, &[1, 3, ROWS, 4]);
        under(n, &mask, vec![])
    }),
    ("the lowest number for a whole row", -1.0, 1.0, |n| {
        let (open, values, lowest) =
            (truths(n, &[ROWS, 4]), n.weights(&[ROWS, 4]), n.float(f32::MIN));
        let mask = n.op("Where", &[&open, &values, &lowest]);
        under(n, &mask, vec![])
    }),
    ("numbers of the layer's own [N, 1, S, T]", -1.0, 1.0, |n| {
        let (columns, axes) = (n.weights(&[5, 4]), n.ints(&[1]));
        let scores = n.op("MatMul", &["layer", &columns]);
        let mask = n.op("ReduceMean", &[&scores, &axes]);
        under(n, &mask, vec![])
    }),
    ("numbers of the layer's own [N, H, S, T]", -1.0, 1.0, |n| {
        let columns = n.weights(&[5, 4]);
        let mask = n.op("MatMul", &["layer", &columns]);
        under(n, &mask, vec![])
    }),
    ("causal", -1.0, 1.0, |n| {
        n.with("Attention", &["layer", "layer", "layer"], vec![int("is_causal", 1)])
    }),
    ("causal, more queries than keys", -1.0, 1.0, |n| {
        let [q, k, v] = cross(n);
        n.with("Attention", &[&q, &k, &v], vec![int("is_causal", 1)])
    }),
    ("causal, more keys than queries, truths", -1.0, 1.0, |n| {
        let (rows, mask) = (n.weights(&[9, ROWS]), truths(n, &[ROWS, 9]));
        let key = n.op("MatMul", &[&rows, "layer"]);
        n.with("Attention", &["layer", &key, &key, &mask], vec![int("is_causal", 1)])
    }),
    ("causal, numbers", -1.0, 1.0, |n| {
        let mask = infinities(n, &[ROWS, 4]);
        under(n, &mask, vec![int("is_causal", 1)])
    }),
    ("softcap", -1.0, 1.0, |n| {
        n.with("Attention", &["layer", "layer", "layer"], vec![number("softcap", 0.6)])
    }),
    ("softcap, then the mask", -1.0, 1.0, |n| {
        let mask = infinities(n, &[3, ROWS, 4]);
        under(n, &mask, vec![number("softcap", 0.6), int("is_causal", 1)])
    }),
    ("groups in an axis", -1.0, 1.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let queries = n.with("Concat", &["layer", &squared], vec![int("axis", 1)]);
        let [_, k, v] = cross(n);
        let mask = truths(n, &[6, ROWS, 4]);
        n.with("Attention", &[&queries, &k, &v, &mask], vec![])
    }),
    ("groups side by side", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (wide, narrow) = (n.weights(&[15, 30]), n.weights(&[15, 12]));
        let queries = n.op("MatMul", &[&x, &wide]);
        let value = n.op("MatMul", &[&x, &narrow]);
        let mask = infinities(n, &[6, ROWS, ROWS]);
        let attributes = [heads(6, 3), vec![int("is_causal", 1), number("softcap", 1.5)]].concat();
        n.with("Attention", &[&queries, &x, &value, &mask], attributes)
    }),
    ("one head of keys for all", -1.0, 1.0, |n| {
        let x = tokens(n);
        let narrow = n.weights(&[15, 5]);
        let key = n.op("MatMul", &[&x, &narrow]);
        n.with("Attention", &[&x, &key, &key], heads(3, 1))
    }),
];

#[test]
fn every_form_of_attention_agrees_with_finite_differences() {
    all_agree(CASES);
}

#[test]
fn attention_with_a_cache_is_named_as_what_has_no_gradient() {
    let model = load("cache", |n| {
        let attended = n.op("Attention", &["layer", "layer", "layer", "", "layer", "layer"]);
        let present = ["key", "value"].map(|what| format!("{attended}/{what}"));
        n.nodes.last_mut().expect("just written").output.extend(present);
        attended
    });
    insta::assert_snapshot!(model.gradient_unsupported_reason(model.default_layer()).expect("one"), @"operator Attention (node 't2') has no gradient rule");
}
