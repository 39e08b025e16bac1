//! Fused operators, which are written out before they are differentiated. That the runtime's own
//! operator gives the same is held at load, where a difference would take the gradient away.

use onnx_gradient::proto::AttributeProto;

use super::{Case, HEIGHT, WIDTH, all_agree, tokens};
use crate::net::{int, ints};

const CASES: &[Case] = &[
    ("Gelu", -3.0, 3.0, |n| n.fused("Gelu", &["layer"], vec![])),
    ("BiasGelu", -3.0, 3.0, |n| {
        let bias = n.weights(&[WIDTH as i64]);
        n.fused("BiasGelu", &["layer", &bias], vec![])
    }),
    ("FastGelu", -3.0, 3.0, |n| {
        let bias = n.weights(&[WIDTH as i64]);
        n.fused("FastGelu", &["layer", &bias], vec![])
    }),
    ("FastGelu", -3.0, 3.0, |n| n.fused("FastGelu", &["layer"], vec![])),
    ("QuickGelu", -3.0, 3.0, |n| {
        n.fused("QuickGelu", &["layer"], vec![AttributeProto::float("alpha", 1.5)])
    }),
    ("FusedConv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[3, 3, 3, 3]), n.weights(&[3]));
        let tanh = AttributeProto::string("activation", "Tanh");
        n.fused(
            "FusedConv",
            &["layer", &weight, &bias, "layer"],
            vec![ints("pads", &[1, 1, 1, 1]), tanh],
        )
    }),
    ("FusedConv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[4, 3, 2, 2]), n.weights(&[4]));
        let leaky = AttributeProto::string("activation", "LeakyRelu");
        let slope =
            AttributeProto { floats: vec![0.3], ..AttributeProto::float("activation_params", 0.0) };
        let slope = AttributeProto { f: None, r#type: Some(6), ..slope };
        n.fused("FusedConv", &["layer", &weight, &bias], vec![leaky, slope])
    }),
    ("FusedGemm", -1.0, 1.0, |n| {
        let rows = n.with("Flatten", &["layer"], vec![int("axis", 1)]);
        let (weight, bias) = (n.weights(&[4, (3 * HEIGHT * WIDTH) as i64]), n.weights(&[4]));
        let sigmoid = AttributeProto::string("activation", "Sigmoid");
        n.fused("FusedGemm", &[&rows, &weight, &bias], vec![int("transB", 1), sigmoid])
    }),
    ("FusedMatMul", -1.0, 1.0, |n| {
        let half = AttributeProto::float("alpha", 0.5);
        let product = n.fused("FusedMatMul", &["layer", "layer"], vec![int("transB", 1), half]);
        let weight = n.weights(&[HEIGHT as i64, 4]);
        n.fused("FusedMatMul", &[&product, &weight], vec![int("transA", 1)])
    }),
    ("SkipLayerNormalization", -2.0, 2.0, |n| {
        let x = tokens(n);
        let doubled = n.op("Mul", &[&x, &x]);
        let (gamma, beta, bias) = (n.weights(&[15]), n.weights(&[15]), n.weights(&[15]));
        let normal =
            n.fused("SkipLayerNormalization", &[&x, &doubled, &gamma, &beta, &bias], vec![]);
        // The sum is the fourth output.
        let sum = format!("{normal}/sum");
        let outputs = &mut n.nodes.last_mut().expect("just written").output;
        outputs.extend([String::new(), String::new(), sum.clone()]);
        n.op("Add", &[&normal, &sum])
    }),
    ("SkipSimplifiedLayerNormalization", -2.0, 2.0, |n| {
        let x = tokens(n);
        let doubled = n.op("Mul", &[&x, &x]);
        let gamma = n.weights(&[15]);
        let epsilon = vec![AttributeProto::float("epsilon", 1e-4)];
        n.fused("SkipSimplifiedLayerNormalization", &[&x, &doubled, &gamma], epsilon)
    }),
    ("SimplifiedLayerNormalization", -2.0, 2.0, |n| {
        let gamma = n.weights(&[WIDTH as i64]);
        n.op("SimplifiedLayerNormalization", &["layer", &gamma])
    }),
    ("MultiHeadAttention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (weight, bias) = (n.weights(&[15, 15]), n.weights(&[45]));
        let key = n.op("MatMul", &[&x, &weight]);
        n.fused("MultiHeadAttention", &[&x, &key, &x, &bias], vec![int("num_heads", 3)])
    }),
    ("Attention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (weight, bias) = (n.weights(&[15, 45]), n.weights(&[45]));
        n.fused("Attention", &[&x, &weight, &bias], vec![int("num_heads", 3)])
    }),
];

#[test]
fn fused_operators_agree_with_finite_differences() {
    all_agree(CASES);
}
