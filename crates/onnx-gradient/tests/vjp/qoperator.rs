//! Integer operators of the QOperator format against the same network in the QDQ format: a model
//! has the same gradient in both formats of ONNX Runtime's quantiser.
//!
//! The including test defines `gradient_of`, so other tests may run these with other kernels.

use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};
use onnx_gradient::quantized::QuantizedOp;

use super::cases::image;
use super::gradient_of;
use super::network::{Network, int, ints};

const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

/// Largest difference of two gradients that differ by rounding alone, relative to the largest.
const SAME: f32 = 1e-5;

/// The format of a quantised network.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    QOperator,
    Qdq,
}

/// An integer tensor and its quantisation.
#[derive(Clone)]
struct Quantised {
    name: String,
    scale: String,
    zero: String,
    axis: i64,
}

/// A quantised network under construction.
struct Quantiser<'n> {
    net: &'n mut Network,
    format: Format,
    /// Factor by which the range of each result is wider than its case says.
    wider: f32,
}

impl Quantiser<'_> {
    fn raw(&mut self, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> String {
        self.net.constant(|name| TensorProto {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(data_type),
            raw_data: Some(bytes.into()),
            ..Default::default()
        })
    }

    /// A float tensor, quantised to uint8 with this scale and zero point.
    fn quantised(&mut self, floats: &str, scale: f32, zero: u8) -> Quantised {
        let (scale, zero) = (self.net.scalar(scale), self.raw(&[], UINT8, vec![zero]));
        let name = self.net.op("QuantizeLinear", &[floats, &scale, &zero]);
        Quantised { name, scale, zero, axis: 1 }
    }

    /// int8 weights with one scale for each index of an axis.
    fn weights(&mut self, dims: &[i64], axis: usize) -> Quantised {
        let count = dims.iter().product::<i64>() as usize;
        let bytes =
            (0..count).map(|i| ((i as f32 * 1.37 + 0.4).sin() * 120.0) as i8 as u8).collect();
        let channels = dims[axis];
        let scales: Vec<f32> =
            (0..channels).map(|channel| 0.004 + 0.001 * channel as f32).collect();
        Quantised {
            name: self.raw(dims, INT8, bytes),
            scale: self.net.floats(&scales),
            zero: self.raw(&[channels], INT8, vec![0; channels as usize]),
            axis: axis as i64,
        }
    }

    /// A bias in the scale of the sums: the product of the scales of both operands.
    fn bias(&mut self, values: &[i32], x: f32, weights: &[f32]) -> Quantised {
        let scales: Vec<f32> = weights.iter().map(|scale| scale * x).collect();
        let dims = [values.len() as i64];
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Quantised {
            name: self.raw(&dims, INT32, bytes),
            scale: self.net.floats(&scales),
            zero: self.raw(&dims, INT32, vec![0; 4 * values.len()]),
            axis: 0,
        }
    }

    fn dequantised(&mut self, ints: &Quantised) -> String {
        let inputs = [ints.name.as_str(), &ints.scale, &ints.zero];
        self.net.op_with("DequantizeLinear", &inputs, vec![int("axis", ints.axis)])
    }

    /// An operator with a uint8 result of this scale and zero point. A third operand is a bias.
    fn op(
        &mut self,
        op: &str,
        operands: &[&Quantised],
        result: (f32, u8),
        attributes: Vec<AttributeProto>,
    ) -> Quantised {
        let zero = if self.wider > 1.0 { 128 } else { result.1 };
        let (scale, zero) =
            (self.net.scalar(result.0 * self.wider), self.raw(&[], UINT8, vec![zero]));
        let name = if self.format == Format::Qdq {
            let floats: Vec<String> = operands.iter().map(|ints| self.dequantised(ints)).collect();
            let floats: Vec<&str> = floats.iter().map(String::as_str).collect();
            let floats = self.net.op_with(op, &floats, attributes);
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
                "Conv" | "MatMul" => self.net.op_with(&format!("QLinear{op}"), &inputs, attributes),
                "Gemm" => self.net.contrib_op("QGemm", &inputs, attributes),
                _ => self.net.contrib_op(&format!("QLinear{op}"), &inputs, attributes),
            }
        };
        Quantised { name, scale, zero, axis: 1 }
    }

    /// An operator that moves integers without computing.
    fn moved(
        &mut self,
        op: &str,
        ints: &Quantised,
        others: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Quantised {
        let inputs: Vec<&str> =
            std::iter::once(ints.name.as_str()).chain(others.iter().copied()).collect();
        Quantised { name: self.net.op_with(op, &inputs, attributes), ..ints.clone() }
    }
}

/// Builds a network from the quantised layer to an integer tensor.
type Build = fn(&mut Quantiser<'_>, Quantised) -> Quantised;

/// Scale and zero point of the layer; none of its elements is clipped.
const LAYER: (f32, u8) = (0.01, 128);

const CASES: &[(&str, Build)] = &[
    ("QLinearConv", |q, x| {
        let weights = q.weights(&[4, 3, 3, 3], 0);
        let bias = q.bias(&[900, -300, 0, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let (pads, strides) = (ints("pads", &[1; 4]), ints("strides", &[2, 1]));
        // The ReLU is part of the range: values below 0 are clipped.
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
        // The mean of the second channel lies below the range, that of the last one above.
        let bias = q.bias(&[900, -1500, 500, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let convolved = q.op("Conv", &[&x, &weights, &bias], (0.02, 100), vec![]);
        q.op("GlobalAveragePool", &[&convolved], (0.001, 0), vec![])
    }),
    ("QLinearConcat", |q, x| {
        let gate = q.op("Sigmoid", &[&x], (1.0 / 256.0, 0), vec![]);
        q.op("Concat", &[&x, &gate], (0.008, 100), vec![int("axis", 1)])
    }),
    ("QGemm", |q, x| {
        let rows = q.net.int64s(&[0, -1]);
        let flat = q.moved("Reshape", &x, &[&rows], vec![]);
        let weights = q.weights(&[4, 90], 0);
        let bias = q.bias(&[900, -300, 0, 4000], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        q.op("Gemm", &[&flat, &weights, &bias], (0.01, 128), vec![int("transB", 1)])
    }),
    ("operators that move integers", |q, x| {
        let pool = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 1])];
        let pooled = q.moved("MaxPool", &x, &[], pool);
        let weights = q.weights(&[4, 3, 1, 1], 0);
        let convolved = q.op("Conv", &[&pooled, &weights], (0.008, 100), vec![]);
        q.moved("DepthToSpace", &convolved, &[], vec![int("blocksize", 2)])
    }),
];

fn gradient(build: Build, format: Format, wider: f32) -> Vec<f32> {
    let gradient = gradient_of(&image((-1.2, 1.2)), |net| {
        let mut quantiser = Quantiser { net, format, wider };
        let layer = quantiser.quantised("layer", LAYER.0, LAYER.1);
        let result = build(&mut quantiser, layer);
        quantiser.dequantised(&result)
    });
    gradient.expect("a gradient")
}

/// The largest absolute difference, relative to the largest absolute value expected.
fn relative_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "the expected values are all zeros");
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // max() would ignore a NaN.
    let largest_difference = differences.fold(0.0_f32, |largest, difference| {
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    });
    largest_difference / largest
}

#[test]
fn a_model_has_the_same_gradient_in_qoperator_format_as_in_qdq_format() {
    let mut unclipped = Vec::new();
    for (case, build) in CASES {
        let [clipped, whole] = [1.0, 50.0].map(|wider| {
            let [qoperator, qdq] =
                [Format::QOperator, Format::Qdq].map(|format| gradient(*build, format, wider));
            assert!(qdq.iter().any(|&value| value != 0.0), "{case}: no gradient");
            let difference = relative_difference(&qoperator, &qdq);
            assert!(difference <= SAME, "{case}, ranges {wider} times as wide: {difference}");
            qoperator
        });
        if relative_difference(&clipped, &whole) < 0.1 {
            unclipped.push(case);
        }
    }
    assert!(unclipped.is_empty(), "nothing is clipped in {unclipped:?}");
}

/// Exact integer sums are scaled as floats, with a scale from the range of the input: nothing is
/// clipped.
#[test]
fn a_dynamically_quantised_model_has_the_gradient_of_its_rounded_weights() {
    let cases: [(&str, &[i64], Vec<AttributeProto>); 2] =
        [("Conv", &[4, 3, 3, 3], vec![ints("strides", &[1, 2])]), ("MatMul", &[5, 4], vec![])];
    for (op, dims, attributes) in cases {
        let x = image((-1.5, 1.5));
        let weights = |net: &mut Network| {
            let count = dims.iter().product::<i64>() as usize;
            let bytes: Vec<u8> =
                (0..count).map(|i| ((i as f32 * 1.37).sin() * 100.0 + 120.0) as u8).collect();
            let mut quantiser = Quantiser { net, format: Format::QOperator, wider: 1.0 };
            (
                quantiser.raw(dims, UINT8, bytes),
                quantiser.raw(&[], UINT8, vec![115]),
                quantiser.net.scalar(0.006),
            )
        };
        let quantised = gradient_of(&x, |net| {
            let (weights, zero, scale) = weights(net);
            let names = ["bytes", "scale", "zero"];
            net.nodes.push(NodeProto::new("DynamicQuantizeLinear", &["layer"], &names));
            let sums = net.op_with(
                &format!("{op}Integer"),
                &["bytes", &weights, "zero", &zero],
                attributes.clone(),
            );
            let sums = net.to_float(&sums);
            let scale = net.mul("scale", &scale);
            net.mul(&sums, &scale)
        });
        let floats = gradient_of(&x, |net| {
            let (weights, zero, scale) = weights(net);
            let weights = net.op("DequantizeLinear", &[&weights, &scale, &zero]);
            net.op_with(op, &["layer", &weights], attributes.clone())
        });
        let (quantised, floats) = (quantised.expect("a gradient"), floats.expect("a gradient"));
        let difference = relative_difference(&quantised, &floats);
        assert!(difference <= SAME, "{op}: {difference}");
    }
}

#[test]
fn a_qgemm_with_a_factor_has_no_vjp() {
    let refused = gradient_of(&image((-1.2, 1.2)), |net| {
        let mut quantiser = Quantiser { net, format: Format::QOperator, wider: 1.0 };
        let layer = quantiser.quantised("layer", LAYER.0, LAYER.1);
        let rows = quantiser.net.int64s(&[0, -1]);
        let flat = quantiser.moved("Reshape", &layer, &[&rows], vec![]);
        let weights = quantiser.weights(&[90, 4], 1);
        let bias = quantiser.bias(&[1, 2, 3, 4], LAYER.0, &[0.004, 0.005, 0.006, 0.007]);
        let half = AttributeProto::float("alpha", 0.5);
        let product = quantiser.op("Gemm", &[&flat, &weights, &bias], (0.05, 128), vec![half]);
        quantiser.dequantised(&product)
    });
    let message = refused.expect_err("no gradient").to_string();
    assert!(message.contains("QGemm") && message.contains("no vjp"), "{message}");
}

#[test]
fn an_integer_operator_without_scales_has_no_float_equivalent() {
    let node = NodeProto::new("QLinearConv", &["x"], &["y"]);
    assert!(QuantizedOp::from_node(&node).is_none());
}
