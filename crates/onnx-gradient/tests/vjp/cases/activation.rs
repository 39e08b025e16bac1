//! Activation functions and other element-wise functions of one tensor.

use super::{float, string};

cases![
    (abs, "Abs", -2.0, 2.0, |n| n.op("Abs", &["layer"])),
    (celu, "Celu", -2.0, 2.0, |n| n.op_with("Celu", &["layer"], [float("alpha", 0.7)])),
    (clip_between_two_bounds, "Clip", -2.0, 8.0, |n| {
        let (low, high) = (n.scalar(0.0), n.scalar(6.0));
        n.op("Clip", &["layer", &low, &high])
    }),
    (clip_with_an_upper_bound, "Clip", -2.0, 2.0, |n| {
        let high = n.scalar(1.0);
        n.op("Clip", &["layer", "", &high])
    }),
    (elu, "Elu", -2.0, 2.0, |n| n.op_with("Elu", &["layer"], [float("alpha", 1.3)])),
    (erf, "Erf", -2.0, 2.0, |n| n.op("Erf", &["layer"])),
    (exp, "Exp", -2.0, 1.0, |n| n.op("Exp", &["layer"])),
    (gelu, "Gelu", -3.0, 3.0, |n| n.op("Gelu", &["layer"])),
    (gelu_tanh_approximation, "Gelu", -3.0, 3.0, |n| {
        n.op_with("Gelu", &["layer"], [string("approximate", "tanh")])
    }),
    (hard_sigmoid, "HardSigmoid", -4.0, 4.0, |n| n.op("HardSigmoid", &["layer"])),
    (hard_swish, "HardSwish", -5.0, 5.0, |n| n.op("HardSwish", &["layer"])),
    (leaky_relu, "LeakyRelu", -2.0, 2.0, |n| {
        n.op_with("LeakyRelu", &["layer"], [float("alpha", 0.2)])
    }),
    (log, "Log", 0.5, 3.0, |n| n.op("Log", &["layer"])),
    (mish, "Mish", -3.0, 3.0, |n| n.op("Mish", &["layer"])),
    (neg, "Neg", -2.0, 2.0, |n| n.op("Neg", &["layer"])),
    (prelu, "PRelu", -2.0, 2.0, |n| {
        let slope = n.weights(&[3, 1, 1]);
        n.op("PRelu", &["layer", &slope])
    }),
    (reciprocal, "Reciprocal", 0.5, 3.0, |n| n.op("Reciprocal", &["layer"])),
    (relu, "Relu", -2.0, 2.0, |n| n.op("Relu", &["layer"])),
    (selu, "Selu", -2.0, 2.0, |n| n.op("Selu", &["layer"])),
    (sigmoid, "Sigmoid", -3.0, 3.0, |n| n.op("Sigmoid", &["layer"])),
    (shrink, "Shrink", -2.0, 2.0, |n| {
        n.op_with("Shrink", &["layer"], [float("lambd", 0.7), float("bias", 0.2)])
    }),
    (swish, "Swish", -3.0, 3.0, |n| { n.op_with("Swish", &["layer"], [float("alpha", 1.3)]) }),
    (softplus, "Softplus", -3.0, 3.0, |n| n.op("Softplus", &["layer"])),
    (softsign, "Softsign", -3.0, 3.0, |n| n.op("Softsign", &["layer"])),
    (sqrt, "Sqrt", 0.5, 3.0, |n| n.op("Sqrt", &["layer"])),
    (tanh, "Tanh", -2.0, 2.0, |n| n.op("Tanh", &["layer"])),
    (thresholded_relu, "ThresholdedRelu", -2.0, 2.0, |n| n.op("ThresholdedRelu", &["layer"])),
];
