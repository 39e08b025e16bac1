//! The standard's `Attention` of opsets 23 and 24, in every form without a cache.

use onnx_gradient::proto::AttributeProto;

use super::{HEIGHT, Network, float, int, tokens};

/// Number of queries, which is also the number of rows of every mask.
const ROWS: i64 = HEIGHT as i64;

cases![
    (attention_of_four_axes, "Attention", -1.0, 1.0, |n| n
        .op("Attention", &["layer", "layer", "layer"])),
    (attention_of_three_axes_with_a_scale, "Attention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let weight = n.weights(&[15, 15]);
        let key = n.op("MatMul", &[&x, &weight]);
        n.op_with("Attention", &[&x, &key, &x], [heads(3, 3), vec![float("scale", 0.4)]].concat())
    }),
    (attention_of_opset_24, "Attention", -1.0, 1.0, |n| {
        let swish = n.op("Swish", &["layer"]);
        n.op("Attention", &[&swish, "layer", &swish])
    }),
    (attention_boolean_mask_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = boolean_mask(n, &[ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_boolean_mask_1_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = boolean_mask(n, &[1, ROWS, 4]);
        masked(n, &mask, [float("scale", 0.7)])
    }),
    (attention_boolean_mask_h_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = boolean_mask(n, &[3, ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_boolean_mask_1_1_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = boolean_mask(n, &[1, 1, ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_boolean_mask_n_h_s_t, "Attention", -1.0, 1.0, |n| {
        let (constant, axis, first) =
            (boolean_mask(n, &[1, 3, ROWS, 4]), n.int64s(&[1, 1, 1]), n.int64(0));
        let shape = n.op("Shape", &["layer"]);
        let images = n.op("Gather", &[&shape, &first]);
        let axes = n.int64s(&[0]);
        let images = n.op("Unsqueeze", &[&images, &axes]);
        let shape = n.op_with("Concat", &[&images, &axis], [int("axis", 0)]);
        let mask = n.op("Expand", &[&constant, &shape]);
        masked(n, &mask, [])
    }),
    (attention_float_mask_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = n.weights(&[ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_float_mask_with_infinities_h_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = float_mask(n, &[3, ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_float_mask_with_infinities_1_h_s_t, "Attention", -1.0, 1.0, |n| {
        let mask = float_mask(n, &[1, 3, ROWS, 4]);
        masked(n, &mask, [])
    }),
    (attention_mask_row_of_the_lowest_float, "Attention", -1.0, 1.0, |n| {
        let (open, values, lowest) =
            (boolean_mask(n, &[ROWS, 4]), n.weights(&[ROWS, 4]), n.scalar(f32::MIN));
        let mask = n.op("Where", &[&open, &values, &lowest]);
        masked(n, &mask, [])
    }),
    (attention_mask_from_the_layer_n_1_s_t, "Attention", -1.0, 1.0, |n| {
        let (columns, axes) = (n.weights(&[5, 4]), n.int64s(&[1]));
        let scores = n.op("MatMul", &["layer", &columns]);
        let mask = n.op("ReduceMean", &[&scores, &axes]);
        masked(n, &mask, [])
    }),
    (attention_mask_from_the_layer_n_h_s_t, "Attention", -1.0, 1.0, |n| {
        let columns = n.weights(&[5, 4]);
        let mask = n.op("MatMul", &["layer", &columns]);
        masked(n, &mask, [])
    }),
    (attention_causal, "Attention", -1.0, 1.0, |n| {
        n.op_with("Attention", &["layer", "layer", "layer"], [int("is_causal", 1)])
    }),
    (attention_causal_more_queries_than_keys, "Attention", -1.0, 1.0, |n| {
        let [q, k, v] = cross_attention(n);
        n.op_with("Attention", &[&q, &k, &v], [int("is_causal", 1)])
    }),
    (attention_causal_more_keys_than_queries_boolean_mask, "Attention", -1.0, 1.0, |n| {
        let (rows, mask) = (n.weights(&[9, ROWS]), boolean_mask(n, &[ROWS, 9]));
        let key = n.op("MatMul", &[&rows, "layer"]);
        n.op_with("Attention", &["layer", &key, &key, &mask], [int("is_causal", 1)])
    }),
    (attention_causal_float_mask, "Attention", -1.0, 1.0, |n| {
        let mask = float_mask(n, &[ROWS, 4]);
        masked(n, &mask, [int("is_causal", 1)])
    }),
    (attention_softcap, "Attention", -1.0, 1.0, |n| {
        n.op_with("Attention", &["layer", "layer", "layer"], [float("softcap", 0.6)])
    }),
    (attention_softcap_before_the_mask, "Attention", -1.0, 1.0, |n| {
        let mask = float_mask(n, &[3, ROWS, 4]);
        masked(n, &mask, [float("softcap", 0.6), int("is_causal", 1)])
    }),
    (attention_grouped_heads_of_four_axes, "Attention", -1.0, 1.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let queries = n.op_with("Concat", &["layer", &squared], [int("axis", 1)]);
        let [_, k, v] = cross_attention(n);
        let mask = boolean_mask(n, &[6, ROWS, 4]);
        n.op_with("Attention", &[&queries, &k, &v, &mask], [])
    }),
    (attention_grouped_heads_of_three_axes, "Attention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (wide, narrow) = (n.weights(&[15, 30]), n.weights(&[15, 12]));
        let queries = n.op("MatMul", &[&x, &wide]);
        let value = n.op("MatMul", &[&x, &narrow]);
        let mask = float_mask(n, &[6, ROWS, ROWS]);
        let attributes = [heads(6, 3), vec![int("is_causal", 1), float("softcap", 1.5)]].concat();
        n.op_with("Attention", &[&queries, &x, &value, &mask], attributes)
    }),
    (attention_one_head_of_keys, "Attention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let narrow = n.weights(&[15, 5]);
        let key = n.op("MatMul", &[&x, &narrow]);
        n.op_with("Attention", &[&x, &key, &key], heads(3, 1))
    }),
];

fn heads(queries: i64, keys: i64) -> Vec<AttributeProto> {
    vec![int("q_num_heads", queries), int("kv_num_heads", keys)]
}

/// A boolean mask, about two thirds true. The first query may attend to no key.
fn boolean_mask(n: &mut Network, dims: &[i64]) -> String {
    let values = n.weights(dims);
    let mut bounds = vec![-0.4; ROWS as usize];
    bounds[0] = 2.0;
    let (bounds, column) = (n.floats(&bounds), n.int64s(&[ROWS, 1]));
    let bounds = n.op("Reshape", &[&bounds, &column]);
    n.op("Greater", &[&values, &bounds])
}

/// The same mask with floats where it is true and −∞ where it is false.
fn float_mask(n: &mut Network, dims: &[i64]) -> String {
    let (open, values, none) =
        (boolean_mask(n, dims), n.weights(dims), n.scalar(f32::NEG_INFINITY));
    n.op("Where", &[&open, &values, &none])
}

/// The layer as query; key `[N, 3, 4, 5]` and value `[N, 3, 4, 2]` are computed from it.
fn cross_attention(n: &mut Network) -> [String; 3] {
    let (rows, columns) = (n.weights(&[4, ROWS]), n.weights(&[5, 2]));
    let key = n.op("MatMul", &[&rows, "layer"]);
    let value = n.op("MatMul", &[&key, &columns]);
    ["layer".to_owned(), key, value]
}

/// [`cross_attention`] under a mask.
fn masked(n: &mut Network, mask: &str, attributes: impl Into<Vec<AttributeProto>>) -> String {
    let [q, k, v] = cross_attention(n);
    n.op_with("Attention", &[&q, &k, &v, mask], attributes)
}
