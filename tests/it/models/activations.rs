//! One network, its activation written in many ways: the default layer holds the same values and
//! has the same gradient as with one operator.

mod views;

use camlens::engine::{PassOutput, PassRequest};
use camlens::graph::layers::Layer;
use ndarray::Array4;
use onnx_gradient::proto::{AttributeProto, data_type};
use proptest::prelude::*;

use crate::net::{Net, int, ints};
use crate::support::{difference, logit_gradients, run_default, sine_pattern, written};

type Write = fn(&mut Net, &str) -> String;

/// An activation as one operator, and as exporters write it with others.
struct Case {
    name: &'static str,
    plain: Write,
    written: &'static [Write],
}

const CASES: &[Case] = &[
    Case {
        name: "ReLU",
        plain: |n, x| n.op("Relu", &[x]),
        written: &[
            |n, x| op_with(n, "Max", x, &[0.0]),
            |n, x| op_with(n, "Clip", x, &[0.0]),
            where_positive,
            |n, x| {
                let zero = n.scalar(0.0);
                let above = n.op("Greater", &[x, &zero]);
                let gate = cast(n, &above);
                n.mul(x, &gate)
            },
        ],
    },
    Case {
        name: "ReLU6",
        plain: |n, x| op_with(n, "Clip", x, &[0.0, 0.5]),
        written: &[
            |n, x| {
                let relu = n.op("Relu", &[x]);
                op_with(n, "Clip", &relu, &[0.0, 0.5])
            },
            |n, x| {
                let relu = n.op("Relu", &[x]);
                let below = op_with(n, "Min", &relu, &[0.5]);
                op_with(n, "Max", &below, &[0.0])
            },
            |n, x| {
                let below = op_with(n, "Min", x, &[0.5]);
                let same = cast(n, &below);
                op_with(n, "Max", &same, &[0.0])
            },
        ],
    },
    Case {
        name: "sigmoid",
        plain: |n, x| n.op("Sigmoid", &[x]),
        written: &[|n, x| {
            let negative = n.op("Neg", &[x]);
            let power = n.op("Exp", &[&negative]);
            let sum = op_with(n, "Add", &power, &[1.0]);
            n.op("Reciprocal", &[&sum])
        }],
    },
    Case {
        name: "SiLU",
        plain: |n, x| {
            let gate = n.op("Sigmoid", &[x]);
            n.mul(x, &gate)
        },
        written: &[
            |n, x| {
                let negative = n.op("Neg", &[x]);
                let power = n.op("Exp", &[&negative]);
                let sum = op_with(n, "Add", &power, &[1.0]);
                n.div(x, &sum)
            },
            |n, x| n.contrib_op("QuickGelu", &[x], [AttributeProto::float("alpha", 1.0)]),
        ],
    },
    Case {
        name: "hard swish",
        plain: |n, x| n.op("HardSwish", &[x]),
        written: &[
            |n, x| {
                let gate = hard_gate(n, x);
                let scaled = op_with(n, "Div", &gate, &[6.0]);
                n.mul(x, &scaled)
            },
            |n, x| {
                let gate = hard_gate(n, x);
                let product = n.mul(x, &gate);
                op_with(n, "Div", &product, &[6.0])
            },
            |n, x| {
                let slope = [AttributeProto::float("alpha", 1.0 / 6.0)];
                let gate = n.op_with("HardSigmoid", &[x], slope);
                n.mul(&gate, x)
            },
        ],
    },
    Case {
        name: "Mish",
        plain: |n, x| n.op("Mish", &[x]),
        written: &[|n, x| {
            let soft = n.op("Softplus", &[x]);
            let gate = n.op("Tanh", &[&soft]);
            n.mul(x, &gate)
        }],
    },
    Case {
        name: "softplus",
        plain: |n, x| n.op("Softplus", &[x]),
        written: &[|n, x| {
            let power = n.op("Exp", &[x]);
            let sum = op_with(n, "Add", &power, &[1.0]);
            n.op("Log", &[&sum])
        }],
    },
    Case {
        name: "softsign",
        plain: |n, x| n.op("Softsign", &[x]),
        written: &[|n, x| {
            let size = n.op("Abs", &[x]);
            let sum = op_with(n, "Add", &size, &[1.0]);
            n.div(x, &sum)
        }],
    },
    Case {
        name: "leaky ReLU",
        plain: |n, x| n.op_with("LeakyRelu", &[x], [AttributeProto::float("alpha", 0.25)]),
        written: &[
            |n, x| {
                let slope = n.float32s(&[4, 1, 1], &[0.25; 4]);
                n.op("PRelu", &[x, &slope])
            },
            |n, x| {
                let scaled = op_with(n, "Mul", x, &[0.25]);
                n.op("Max", &[x, &scaled])
            },
        ],
    },
    Case {
        name: "thresholded ReLU",
        plain: |n, x| n.op_with("ThresholdedRelu", &[x], [AttributeProto::float("alpha", 0.1)]),
        written: &[|n, x| {
            let limit = n.scalar(0.1);
            let above = n.op("Greater", &[x, &limit]);
            let zero = n.scalar(0.0);
            n.op("Where", &[&above, x, &zero])
        }],
    },
    Case {
        name: "GELU",
        plain: |n, x| n.op("Gelu", &[x]),
        written: &[
            |n, x| {
                let gate = error_gate(n, x);
                let product = n.mul(x, &gate);
                op_with(n, "Mul", &product, &[0.5])
            },
            |n, x| {
                let half = op_with(n, "Mul", x, &[0.5]);
                let gate = error_gate(n, x);
                n.mul(&half, &gate)
            },
        ],
    },
    Case {
        name: "GELU by tanh",
        plain: |n, x| n.op_with("Gelu", &[x], [AttributeProto::string("approximate", "tanh")]),
        written: &[tanh_gelu],
    },
    Case {
        name: "shrinkage",
        plain: |n, x| n.op_with("Shrink", &[x], shrinkage()),
        written: &[|n, x| {
            let (limit, negative) = (n.scalar(0.1), n.scalar(-0.1));
            let (above, below) = (n.op("Greater", &[x, &limit]), n.op("Less", &[x, &negative]));
            let outside = n.op("Or", &[&above, &below]);
            let zero = n.scalar(0.0);
            n.op("Where", &[&outside, x, &zero])
        }],
    },
    Case { name: "arcus tangent", plain: |n, x| n.op("Atan", &[x]), written: &[] },
];

/// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, as torch's exporter writes it.
fn tanh_gelu(n: &mut Net, x: &str) -> String {
    let cube = op_with(n, "Pow", x, &[3.0]);
    let small = op_with(n, "Mul", &cube, &[0.044_715]);
    let sum = n.add(x, &small);
    let scaled = op_with(n, "Mul", &sum, &[(2.0 / std::f32::consts::PI).sqrt()]);
    let tanh = n.op("Tanh", &[&scaled]);
    let gate = op_with(n, "Add", &tanh, &[1.0]);
    let half = op_with(n, "Mul", x, &[0.5]);
    n.mul(&half, &gate)
}

fn shrinkage() -> [AttributeProto; 2] {
    [AttributeProto::float("lambd", 0.1), AttributeProto::float("bias", 0.0)]
}

/// `op` of a tensor and scalar constants.
fn op_with(net: &mut Net, op: &str, x: &str, constants: &[f32]) -> String {
    let constants: Vec<String> = constants.iter().map(|&value| net.scalar(value)).collect();
    let inputs: Vec<&str> = [x].into_iter().chain(constants.iter().map(String::as_str)).collect();
    net.op(op, &inputs)
}

fn cast(net: &mut Net, x: &str) -> String {
    net.op_with("Cast", &[x], [int("to", data_type::FLOAT.into())])
}

fn where_positive(net: &mut Net, x: &str) -> String {
    let zero = net.scalar(0.0);
    let above = net.op("Greater", &[x, &zero]);
    net.op("Where", &[&above, x, &zero])
}

/// `clip(x + 3, 0, 6)`.
fn hard_gate(net: &mut Net, x: &str) -> String {
    let shifted = op_with(net, "Add", x, &[3.0]);
    op_with(net, "Clip", &shifted, &[0.0, 6.0])
}

/// `1 + erf(x / √2)`.
fn error_gate(net: &mut Net, x: &str) -> String {
    let scaled = op_with(net, "Div", x, &[std::f32::consts::SQRT_2]);
    let error = net.op("Erf", &[&scaled]);
    op_with(net, "Add", &error, &[1.0])
}

/// Operators that change no value, before or after the activation.
const COPIES: &[Write] = &[
    |_, x| x.to_owned(),
    cast,
    |n, x| n.op("Identity", &[x]),
    |n, x| n.op("Dropout", &[x]),
    |n, x| {
        let sizes = n.int64s(&[0, 0, 0, 0]);
        n.op("Reshape", &[x, &sizes])
    },
];

/// The bias and normalisation between the convolution and its activation, from a seed of weights.
const NORMALISED: [&[Write]; 2] = [
    // A bias, inside the convolution or apart, as an initializer or computed.
    &[
        |n, x| n.op("Identity", &[x]),
        |n, x| {
            let bias = n.float32s(&[4], &[0.0; 4]);
            let axes = n.int64s(&[1, 2]);
            let column = n.op("Unsqueeze", &[&bias, &axes]);
            n.add(x, &column)
        },
    ],
    &[
        |n, x| {
            let [scale, shift, mean, variance] = [1.5, 0.25, 0.125, 4.0].map(|v| n.floats(&[v; 4]));
            let epsilon = [AttributeProto::float("epsilon", 0.0)];
            n.op_with("BatchNormalization", &[x, &scale, &shift, &mean, &variance], epsilon)
        },
        |n, x| {
            let (factor, shift) = (n.float32s(&[4, 1, 1], &[0.75; 4]), n.scalar(0.25 - 0.09375));
            let scaled = n.mul(x, &factor);
            n.add(&scaled, &shift)
        },
    ],
];

/// The default layer's activation and gradient.
fn default_layer(write: impl FnOnce(&mut Net, &str) -> String) -> (Layer, PassOutput) {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = write(&mut net, &maps);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let model = written(&net.model([3, 8, 8], &[&scores], 20), "").unwrap();
    let input: Array4<f32> = sine_pattern(0.37);
    let pass = PassRequest { activation: true, ..logit_gradients(input, &[2]) };
    (model.default_layer().clone(), run_default(&model, pass))
}

fn assert_same(
    (layer, output): &(Layer, PassOutput),
    (plain, expected): &(Layer, PassOutput),
    context: &str,
) {
    assert_eq!(layer.shape, plain.shape, "{context}");
    let [found, right] = [output, expected].map(|output| output.activation.as_ref().unwrap());
    assert!(difference(found, right) <= 1e-6, "{context}: the activation differs at {layer:?}");
    let [found, right] = [output, expected].map(|output| &output.gradients[0]);
    assert!(difference(found, right) <= 1e-6, "{context}: the gradient differs at {layer:?}");
}

#[test]
fn an_activation_ends_the_layer_however_it_is_written() {
    for case in CASES {
        let plain = default_layer(case.plain);
        let convolution = default_layer(|_, x| x.to_owned()).1.activation.unwrap();
        assert!(difference(plain.1.activation.as_ref().unwrap(), &convolution) > 1e-3);
        for (index, write) in case.written.iter().enumerate() {
            assert_same(&default_layer(write), &plain, &format!("{} {index}", case.name));
        }
    }
}

#[test]
fn an_activation_between_transpositions_ends_the_layer_with_its_channels_last() {
    let relu: Write = |n, x| n.op("Relu", &[x]);
    let transposed = default_layer(|n, x| {
        let last = n.op_with("Transpose", &[x], [ints("perm", &[0, 2, 3, 1])]);
        let activated = n.op("Relu", &[&last]);
        n.op_with("Transpose", &[&activated], [ints("perm", &[0, 3, 1, 2])])
    });
    assert_eq!(transposed.0.layout.name(), "nhwc");
    assert_same(&transposed, &default_layer(relu), "transposed");
}

#[test]
fn a_pooling_s_power_and_lower_limit_are_no_part_of_the_activation() {
    // Generalised mean pooling: clip(ε) → xᵖ → mean.
    let plain = default_layer(|n, x| n.op("Relu", &[x]));
    let pooled = default_layer(|n, x| {
        let relu = n.op("Relu", &[x]);
        let limited = op_with(n, "Clip", &relu, &[1e-6]);
        op_with(n, "Pow", &limited, &[3.0])
    });
    assert_eq!((pooled.0.tensor, pooled.0.name), (plain.0.tensor, plain.0.name));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn steps_that_change_no_value_change_no_layer(
        act in 0..CASES.len(),
        form in 0..4_usize,
        norm in (0..2_usize, 0..2_usize),
        before in proptest::collection::vec(0..COPIES.len(), 0..3),
        between in 0..COPIES.len(),
        after in proptest::collection::vec(0..2_usize, 0..2),
    ) {
        let case = &CASES[act];
        let form = case.written.get(form).copied().unwrap_or(case.plain);
        let plain = default_layer(|n, x| {
            let maps = NORMALISED[norm.0][0](n, x);
            (case.plain)(n, &maps)
        });
        let found = default_layer(|n, x| {
            let copied = before.iter().fold(x.to_owned(), |x, &copy| COPIES[copy](n, &x));
            let maps = NORMALISED[norm.0][norm.1](n, &copied);
            let maps = COPIES[between](n, &maps);
            let activated = form(n, &maps);
            after.iter().fold(activated, |x, &copy| COPIES[copy](n, &x))
        });
        assert_same(&found, &plain, case.name);
    }
}
