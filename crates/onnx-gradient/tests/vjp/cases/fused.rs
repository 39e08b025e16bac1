//! Fused operators of `com.microsoft`, which are decomposed before they are differentiated.

use onnx_gradient::proto::AttributeProto;

use super::{HEIGHT, WIDTH, float, int, ints, string, tokens};

cases![
    (microsoft_gelu, "Gelu", -3.0, 3.0, |n| n.contrib_op("Gelu", &["layer"], [])),
    (bias_gelu, "BiasGelu", -3.0, 3.0, |n| {
        let bias = n.weights(&[WIDTH as i64]);
        n.contrib_op("BiasGelu", &["layer", &bias], [])
    }),
    (fast_gelu_with_bias, "FastGelu", -3.0, 3.0, |n| {
        let bias = n.weights(&[WIDTH as i64]);
        n.contrib_op("FastGelu", &["layer", &bias], [])
    }),
    (fast_gelu, "FastGelu", -3.0, 3.0, |n| n.contrib_op("FastGelu", &["layer"], [])),
    (quick_gelu, "QuickGelu", -3.0, 3.0, |n| {
        n.contrib_op("QuickGelu", &["layer"], [float("alpha", 1.5)])
    }),
    (fused_conv_sum_and_tanh, "FusedConv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[3, 3, 3, 3]), n.weights(&[3]));
        let tanh = string("activation", "Tanh");
        n.contrib_op(
            "FusedConv",
            &["layer", &weight, &bias, "layer"],
            [ints("pads", &[1, 1, 1, 1]), tanh],
        )
    }),
    (fused_conv_leaky_relu, "FusedConv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[4, 3, 2, 2]), n.weights(&[4]));
        let leaky = string("activation", "LeakyRelu");
        let slope = AttributeProto::floats("activation_params", [0.3]);
        n.contrib_op("FusedConv", &["layer", &weight, &bias], [leaky, slope])
    }),
    (fused_gemm_sigmoid, "FusedGemm", -1.0, 1.0, |n| {
        let rows = n.op_with("Flatten", &["layer"], [int("axis", 1)]);
        let (weight, bias) = (n.weights(&[4, (3 * HEIGHT * WIDTH) as i64]), n.weights(&[4]));
        let sigmoid = string("activation", "Sigmoid");
        n.contrib_op("FusedGemm", &[&rows, &weight, &bias], [int("transB", 1), sigmoid])
    }),
    (fused_matmul, "FusedMatMul", -1.0, 1.0, |n| {
        let half = float("alpha", 0.5);
        let product = n.contrib_op("FusedMatMul", &["layer", "layer"], [int("transB", 1), half]);
        let weight = n.weights(&[HEIGHT as i64, 4]);
        n.contrib_op("FusedMatMul", &[&product, &weight], [int("transA", 1)])
    }),
    (skip_layer_normalization, "SkipLayerNormalization", -2.0, 2.0, |n| {
        let x = tokens(n);
        let doubled = n.op("Mul", &[&x, &x]);
        let (gamma, beta, bias) = (n.weights(&[15]), n.weights(&[15]), n.weights(&[15]));
        let normal =
            n.contrib_op("SkipLayerNormalization", &[&x, &doubled, &gamma, &beta, &bias], []);
        // The sum is output 3.
        let sum = format!("{normal}/sum");
        let outputs = &mut n.nodes.last_mut().expect("just written").output;
        outputs.extend([String::new(), String::new(), sum.clone()]);
        n.op("Add", &[&normal, &sum])
    }),
    (skip_simplified_layer_normalization, "SkipSimplifiedLayerNormalization", -2.0, 2.0, |n| {
        let x = tokens(n);
        let doubled = n.op("Mul", &[&x, &x]);
        let gamma = n.weights(&[15]);
        let epsilon = [float("epsilon", 1e-4)];
        n.contrib_op("SkipSimplifiedLayerNormalization", &[&x, &doubled, &gamma], epsilon)
    }),
    (simplified_layer_normalization, "SimplifiedLayerNormalization", -2.0, 2.0, |n| {
        let gamma = n.weights(&[WIDTH as i64]);
        n.op("SimplifiedLayerNormalization", &["layer", &gamma])
    }),
    (multi_head_attention, "MultiHeadAttention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (weight, bias) = (n.weights(&[15, 15]), n.weights(&[45]));
        let key = n.op("MatMul", &[&x, &weight]);
        n.contrib_op("MultiHeadAttention", &[&x, &key, &x, &bias], [int("num_heads", 3)])
    }),
    (packed_attention, "Attention", -1.0, 1.0, |n| {
        let x = tokens(n);
        let (weight, bias) = (n.weights(&[15, 45]), n.weights(&[45]));
        n.contrib_op("Attention", &[&x, &weight, &bias], [int("num_heads", 3)])
    }),
];
