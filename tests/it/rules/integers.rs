//! Operators of integers against the same network in pairs of `QuantizeLinear` and
//! `DequantizeLinear`, whose rules are held against PyTorch's `FakeQuantize` in `zoo.rs`: one
//! model, in both formats of ONNX Runtime's quantiser, has one gradient.

use ndarray::Array4;
use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};
use onnx_gradient::quantized::QuantizedOp;

use super::{SAME, gradient_of, image, load};
use crate::net::{Net, int, ints};
use crate::support::relative_difference;

const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

/// The format that a network is written in.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Operators,
    Pairs,
}

/// Integers and what they mean.
#[derive(Clone)]
struct Ints {
    name: String,
    scale: String,
    zero: String,
    axis: i64,
}

/// A network under construction in one of the formats.
struct Quantiser<'n> {
    net: &'n mut Net,
    format: Format,
    /// How many times wider the range of each result is than its case says.
    wider: f32,
}

impl Quantiser<'_> {
    fn raw(&mut self, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> String {
        let name = self.net.fresh();
        self.net.constants.push(TensorProto {
            name: Some(name.clone()),
            dims: dims.to_vec(),
            data_type: Some(data_type),
            raw_data: Some(bytes.into()),
            ..Default::default()
        });
        name
    }

    /// A tensor of floats in bytes of this scale and zero point.
    fn rounded(&mut self, floats: &str, scale: f32, zero: u8) -> Ints {
        let (scale, zero) = (self.net.float(scale), self.raw(&[], UINT8, vec![zero]));
        let name = self.net.op("QuantizeLinear", &[floats, &scale, &zero]);
        Ints { name, scale, zero, axis: 1 }
    }

    /// Signed weights with a scale for each place of an axis.
    fn weights(&mut self, dims: &[i64], axis: usize) -> Ints {
        let count = dims.iter().product::<i64>() as usize;
        let bytes =
            (0..count).map(|i| ((i as f32 * 1.37 + 0.4).sin() * 120.0) as i8 as u8).collect();
        let channels = dims[axis];
        let scales: Vec<f32> =
            (0..channels).map(|channel| 0.004 + 0.001 * channel as f32).collect();
        Ints {
            name: self.raw(dims, INT8, bytes),
            scale: self.net.floats(&scales),
            zero: self.raw(&[channels], INT8, vec![0; channels as usize]),
            axis: axis as i64,
        }
    }

    /// A bias in units of the sums of two operands whose scales are these.
    fn bias(&mut self, values: &[i32], x: f32, weights: &[f32]) -> Ints {
        let scales: Vec<f32> = weights.iter().map(|scale| scale * x).collect();
        let dims = [values.len() as i64];
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ints {
            name: self.raw(&dims, INT32, bytes),
            scale: self.net.floats(&scales),
            zero: self.raw(&dims, INT32, vec![0; 4 * values.len()]),
            axis: 0,
        }
    }

    fn told(&mut self, ints: &Ints) -> String {
        let inputs = [ints.name.as_str(), &ints.scale, &ints.zero];
        self.net.with("DequantizeLinear", &inputs, vec![int("axis", ints.axis)])
    }

    /// One operator, rounded to bytes of this scale and zero point. A third operand is a bias.
    fn op(
        &mut self,
        op: &str,
        operands: &[&Ints],
        result: (f32, u8),
        attributes: Vec<AttributeProto>,
    ) -> Ints {
        let zero = if self.wider > 1.0 { 128 } else { result.1 };
        let (scale, zero) =
            (self.net.float(result.0 * self.wider), self.raw(&[], UINT8, vec![zero]));
        let name = if self.format == Format::Pairs {
            let told: Vec<String> = operands.iter().map(|ints| self.told(ints)).collect();
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            let floats = self.net.with(op, &told, attributes);
            self.net.op("QuantizeLinear", &[&floats, &scale, &zero])
        } else {
            let of_result = [scale.as_str(), &zero];
            let (operands, bias) = operands.split_at(operands.len().min(2));
            let bias = bias.iter().map(|bias| bias.name.as_str());
            let of_operands =
                operands.iter().flat_map(|ints| [ints.name.as_str(), &ints.scale, &ints.zero]);
            let inputs: Vec<&str> = match op {
                "Concat" => of_result.into_iter().chain(of_operands).collect(),
                "Gemm" => of_operands.chain(bias).chain(of_result).collect(),
                _ => of_operands.chain(of_result).chain(bias).collect(),
            };
            match op {
                "Conv" | "MatMul" => self.net.with(&format!("QLinear{op}"), &inputs, attributes),
                "Gemm" => self.net.fused("QGemm", &inputs, attributes),
                _ => self.net.fused(&format!("QLinear{op}"), &inputs, attributes),
            }
        };
        Ints { name, scale, zero, axis: 1 }
    }

    /// An operator that only moves integers.
    fn moved(
        &mut self,
        op: &str,
        ints: &Ints,
        others: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Ints {
        let inputs: Vec<&str> =
            std::iter::once(ints.name.as_str()).chain(others.iter().copied()).collect();
        Ints { name: self.net.with(op, &inputs, attributes), ..ints.clone() }
    }
}

/// A network from the rounded layer to integers.
type Build = fn(&mut Quantiser<'_>, Ints) -> Ints;

/// What the bytes of the layer mean, none of which is clipped.
const LAYER: (f32, u8) = (0.01, 128);

const CASES: &[(&str, Build)] = &[
    ("QLinearConv", |q, x| {
        let weights = q.weights(&[4, 3, 3, 3], 0);
        let bias = q.bias(&[900, -300, 0, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let (pads, strides) = (ints("pads", &[1; 4]), ints("strides", &[2, 1]));
        // Its ReLU is in the range: all below 0 is clipped.
        q.op("Conv", &[&x, &weights, &bias], (0.01, 0), vec![pads, strides])
    }),
    ("QLinearConv in groups", |q, x| {
        let weights = q.weights(&[3, 1, 3, 3], 0);
        q.op("Conv", &[&x, &weights], (0.004, 100), vec![ints("pads", &[1; 4]), int("group", 3)])
    }),
    ("QLinearMatMul", |q, x| {
        let weights = q.weights(&[5, 4], 1);
        q.op("MatMul", &[&x, &weights], (0.008, 120), vec![])
    }),
    ("QLinearMatMul of two", |q, x| {
        let turned = q.moved("Transpose", &x, &[], vec![ints("perm", &[0, 1, 3, 2])]);
        q.op("MatMul", &[&x, &turned], (0.006, 90), vec![])
    }),
    ("QLinearAdd", |q, x| {
        let other = q.op("LeakyRelu", &[&x], (0.01, 60), vec![AttributeProto::float("alpha", 0.3)]);
        q.op("Add", &[&x, &other], (0.012, 70), vec![])
    }),
    ("QLinearMul", |q, x| {
        let gate = q.op("Sigmoid", &[&x], (1.0 / 256.0, 0), vec![]);
        q.op("Mul", &[&x, &gate], (0.005, 50), vec![])
    }),
    ("QLinearAveragePool", |q, x| {
        let window = vec![
            ints("kernel_shape", &[3, 2]),
            ints("strides", &[2, 2]),
            ints("pads", &[1, 0, 1, 0]),
        ];
        q.op("AveragePool", &[&x], (0.004, 128), window)
    }),
    ("QLinearGlobalAveragePool", |q, x| {
        let weights = q.weights(&[4, 3, 1, 1], 0);
        // The second channel's mean is below 0, the last one's above the range.
        let bias = q.bias(&[900, -1500, 500, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let convolved = q.op("Conv", &[&x, &weights, &bias], (0.02, 100), vec![]);
        q.op("GlobalAveragePool", &[&convolved], (0.001, 0), vec![])
    }),
    ("QLinearConcat", |q, x| {
        let gate = q.op("Sigmoid", &[&x], (1.0 / 256.0, 0), vec![]);
        q.op("Concat", &[&x, &gate], (0.008, 100), vec![int("axis", 1)])
    }),
    ("QGemm", |q, x| {
        let rows = q.net.ints(&[0, -1]);
        let flat = q.moved("Reshape", &x, &[&rows], vec![]);
        let weights = q.weights(&[4, 90], 0);
        let bias = q.bias(&[900, -300, 0, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        q.op("Gemm", &[&flat, &weights, &bias], (0.01, 128), vec![int("transB", 1)])
    }),
    ("what moves integers", |q, x| {
        let pool = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 1])];
        let pooled = q.moved("MaxPool", &x, &[], pool);
        let weights = q.weights(&[4, 3, 1, 1], 0);
        let convolved = q.op("Conv", &[&pooled, &weights], (0.008, 100), vec![]);
        q.moved("DepthToSpace", &convolved, &[], vec![int("blocksize", 2)])
    }),
];

fn gradient(build: Build, format: Format, wider: f32) -> Array4<f32> {
    gradient_of(image(-1.2, 1.2), |net| {
        let mut quantiser = Quantiser { net, format, wider };
        let layer = quantiser.rounded("layer", LAYER.0, LAYER.1);
        let result = build(&mut quantiser, layer);
        quantiser.told(&result)
    })
}

#[test]
fn a_model_has_the_same_gradient_in_operators_of_integers_as_in_pairs() {
    let mut unclipped = Vec::new();
    for (case, build) in CASES {
        let [clipped, whole] = [1.0, 50.0].map(|wider| {
            let [operators, pairs] = [Format::Operators, Format::Pairs]
                .map(|format| gradient(*build, format, wider).into_dyn());
            assert!(pairs.iter().any(|&value| value != 0.0), "{case}: no gradient");
            let off = relative_difference(&operators, &pairs);
            assert!(off <= SAME, "{case}, {wider} times as wide: {off}");
            operators
        });
        if relative_difference(&clipped, &whole) < 0.1 {
            unclipped.push(case);
        }
    }
    assert!(unclipped.is_empty(), "nothing is clipped in {unclipped:?}");
}

/// Sums of integers that are scaled as floats, with the scale made of the image's range: nothing is
/// clipped.
#[test]
fn a_model_quantised_by_the_range_of_the_image_has_the_gradient_of_its_rounded_weights() {
    let cases: [(&str, &[i64], Vec<AttributeProto>); 2] =
        [("Conv", &[4, 3, 3, 3], vec![ints("strides", &[1, 2])]), ("MatMul", &[5, 4], vec![])];
    for (op, dims, attributes) in cases {
        let weights = |net: &mut Net| {
            let count = dims.iter().product::<i64>() as usize;
            let bytes: Vec<u8> =
                (0..count).map(|i| ((i as f32 * 1.37).sin() * 100.0 + 120.0) as u8).collect();
            let mut quantiser = Quantiser { net, format: Format::Operators, wider: 1.0 };
            (
                quantiser.raw(dims, UINT8, bytes),
                quantiser.raw(&[], UINT8, vec![115]),
                quantiser.net.float(0.006),
            )
        };
        let rounded = gradient_of(image(-1.5, 1.5), |net| {
            let (weights, zero, scale) = weights(net);
            let names = ["bytes", "scale", "zero"];
            net.nodes.push(NodeProto::new("DynamicQuantizeLinear", &["layer"], &names));
            let sums = net.with(
                &format!("{op}Integer"),
                &["bytes", &weights, "zero", &zero],
                attributes.clone(),
            );
            let sums = net.with("Cast", &[&sums], vec![int("to", 1)]);
            let scale = net.op("Mul", &["scale", &scale]);
            net.op("Mul", &[&sums, &scale])
        });
        let floats = gradient_of(image(-1.5, 1.5), |net| {
            let (weights, zero, scale) = weights(net);
            let weights = net.op("DequantizeLinear", &[&weights, &scale, &zero]);
            net.with(op, &["layer", &weights], attributes.clone())
        });
        let off = relative_difference(&rounded.into_dyn(), &floats.into_dyn());
        assert!(off <= SAME, "{op}: {off}");
    }
}

#[test]
fn a_factor_within_a_product_of_integers_is_refused() {
    let model = load("factor", |net| {
        let mut quantiser = Quantiser { net, format: Format::Operators, wider: 1.0 };
        let layer = quantiser.rounded("layer", LAYER.0, LAYER.1);
        let rows = quantiser.net.ints(&[0, -1]);
        let flat = quantiser.moved("Reshape", &layer, &[&rows], vec![]);
        let weights = quantiser.weights(&[90, 4], 1);
        let bias = quantiser.bias(&[1, 2, 3, 4], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let half = AttributeProto::float("alpha", 0.5);
        let product = quantiser.op("Gemm", &[&flat, &weights, &bias], (0.05, 128), vec![half]);
        quantiser.told(&product)
    });
    let why = model.gradient_unsupported_reason(model.default_layer()).expect("an obstacle");
    assert!(why.contains("QGemm") && why.contains("no gradient rule"), "{why}");
    let node = NodeProto::new("QLinearConv", &["x"], &["y"]);
    assert!(QuantizedOp::from_node(&node).is_none(), "a node without scales is not read");
}
