//! Finds convolutions between a dequantisation and a quantisation and replaces them.

use std::collections::{HashMap, HashSet};

use crate::engine::optimize::common;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type};

/// Replaces every such convolution and returns how many. `exact_with_signed_weights` says whether the
/// runtime's kernels are exact with signed weights.
pub(crate) fn fuse(graph: &mut GraphProto, exact_with_signed_weights: bool) -> usize {
    make_activations_unsigned(graph);
    let graph_index = GraphIndex::new(graph);
    let nodes = graph.node.iter().enumerate();
    let mut replacements: HashMap<usize, NodeProto> =
        nodes.filter_map(|(index, node)| Some((index, replacement(&graph_index, node)?))).collect();
    let shifted = if exact_with_signed_weights {
        ShiftedWeights::default()
    } else {
        ShiftedWeights::new(&graph_index, &mut replacements)
    };
    let count = replacements.len();
    common::replace(graph, replacements);
    graph.node.splice(0..0, shifted.nodes);
    graph.initializer.extend(shifted.constants);
    count
}

/// Signed weights shifted to 0..255.
///
/// The shift is written as nodes, which the runtime evaluates once when it loads a program, so the
/// weights stay in the model's file.
#[derive(Default)]
struct ShiftedWeights {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl ShiftedWeights {
    /// Shifts the weights of these convolutions and rewires them.
    fn new(graph_index: &GraphIndex<'_>, convolutions: &mut HashMap<usize, NodeProto>) -> Self {
        const OFFSET: &str = "camlens/unsigned/offset";
        let mut shifted = Self::default();
        let mut done: HashSet<String> = HashSet::new();
        for conv in convolutions.values_mut() {
            let [weights, zeros] = [3, 5].map(|input| conv.input[input].clone());
            let signed =
                graph_index.constant(&zeros).filter(|zeros| zeros.data_type() == data_type::INT8);
            let Some((of_zeros, values)) =
                signed.and_then(|zeros| Some((zeros, shifted_bytes(&zeros.to_int64s()?)?)))
            else {
                continue;
            };
            // The first part keeps these names apart from each other and from other zero points,
            // whatever a tensor is called.
            let named = |what: &str, name: &str| format!("camlens/unsigned/{what}/{name}");
            let unsigned = |name: &str| named("of", name);
            (conv.input[3], conv.input[5]) = (unsigned(&weights), unsigned(&zeros));
            if done.insert(zeros.clone()) {
                shifted.constants.push(TensorProto {
                    name: Some(unsigned(&zeros)),
                    data_type: Some(data_type::UINT8),
                    raw_data: Some(values.into()),
                    dims: of_zeros.dims.clone(),
                    ..TensorProto::default()
                });
            }
            if done.insert(weights.clone()) {
                let [wide, far] = ["wide", "far"].map(|what| named(what, &weights));
                let cast = |from: &str, to: &str, kind: i32| {
                    NodeProto::new("Cast", &[from], &[to])
                        .with(AttributeProto::int("to", i64::from(kind)))
                };
                shifted.nodes.push(cast(&weights, &wide, data_type::INT32));
                shifted.nodes.push(NodeProto::new("Add", &[&wide, OFFSET], &[&far]));
                shifted.nodes.push(cast(&far, &unsigned(&weights), data_type::UINT8));
            }
        }
        if !shifted.nodes.is_empty() {
            shifted.constants.push(TensorProto {
                name: Some(OFFSET.into()),
                data_type: Some(data_type::INT32),
                raw_data: Some(128_i32.to_le_bytes().to_vec().into()),
                ..TensorProto::default()
            });
        }
        shifted
    }
}

/// Quantises activations to 0..255 instead of −128..127: the floats are the same, but only few CPUs
/// have kernels for the latter. Only `DequantizeLinear` may read the integers.
fn make_activations_unsigned(graph: &mut GraphProto) {
    let graph_index = GraphIndex::new(graph);
    let mut shifted: Vec<(usize, u8)> = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        // A type named by an attribute would not follow.
        if !node.is("QuantizeLinear") || node.attribute("output_dtype").is_some() {
            continue;
        }
        let Some(zero) = zero_point(&graph_index, node, data_type::INT8) else { continue };
        let Some(unsigned) = shifted_byte(zero) else { continue };
        let Some(output) = node.output.first().filter(|output| !graph_index.is_output(output))
        else {
            continue;
        };
        let dequantises = |reader: &NodeProto| {
            reader.is("DequantizeLinear")
                && reader.input_name(0) == Some(output)
                && zero_point(&graph_index, reader, data_type::INT8) == Some(zero)
        };
        if graph_index.consumers(output).all(dequantises) {
            shifted.extend(
                graph_index
                    .consumer_positions(output)
                    .chain([index])
                    .map(|index| (index, unsigned)),
            );
        }
    }
    let mut zeros: Vec<u8> = shifted.iter().map(|&(_, zero)| zero).collect();
    zeros.sort_unstable();
    zeros.dedup();
    let name = |zero: u8| format!("camlens/unsigned/{zero}");
    for (index, zero) in shifted {
        graph.node[index].input[2] = name(zero);
    }
    graph.initializer.extend(zeros.into_iter().map(|zero| TensorProto {
        name: Some(name(zero)),
        data_type: Some(data_type::UINT8),
        raw_data: Some(vec![zero].into()),
        ..TensorProto::default()
    }));
}

/// The `QLinearConv` whose output a `QuantizeLinear` gives.
fn replacement(graph_index: &GraphIndex<'_>, quantise: &NodeProto) -> Option<NodeProto> {
    let zero = zero_point(graph_index, quantise, data_type::UINT8)
        .filter(|_| quantise.is("QuantizeLinear"))?;
    let mut conv = graph_index.producer(quantise.input_name(0)?)?;
    // Quantisation clips negative values to 0 as well.
    if conv.is("Relu") && zero == 0 {
        conv = graph_index.producer(conv.input_name(0)?)?;
    }
    if !conv.is("Conv") {
        return None;
    }
    let dequantised = |input: usize| {
        graph_index.producer(conv.input_name(input)?).filter(|node| node.is("DequantizeLinear"))
    };
    let (input, weights) = (dequantised(0)?, dequantised(1)?);
    zero_point(graph_index, input, data_type::UINT8)?;
    let (from, _) = (scale(graph_index, input)?, scale(graph_index, quantise)?);
    let of_weights = scales(graph_index, weights)?;
    // One scale per filter or one for all; zero points of one type and value.
    let kind = graph_index.constant(weights.input_name(0)?)?.data_type();
    let fits = [data_type::INT8, data_type::UINT8].contains(&kind)
        && (of_weights.len() == 1 || weights.int("axis", 1) == 0)
        && weights.int("block_size", 0) == 0
        && zero_points(graph_index, weights, kind)?.windows(2).all(|pair| pair[0] == pair[1]);
    if !fits {
        return None;
    }
    let mut inputs: Vec<&str> = Vec::with_capacity(9);
    for node in [input, weights] {
        inputs.extend((0..3).filter_map(|input| node.input_name(input)));
    }
    inputs.extend((1..3).filter_map(|input| quantise.input_name(input)));
    if conv.input_name(2).is_some() {
        inputs.push(integer_bias(graph_index, dequantised(2)?, from, &of_weights)?);
    }
    let mut node = NodeProto::new("QLinearConv", &inputs, &[quantise.output.first()?]);
    node.name = conv.name.as_ref().map(|name| format!("{name}/qlinear"));
    node.attribute.clone_from(&conv.attribute);
    Some(node)
}

/// The integer bias, if its scale is the product of both other scales.
fn integer_bias<'g>(
    graph_index: &GraphIndex<'g>,
    bias: &'g NodeProto,
    from: f32,
    of_weights: &[f32],
) -> Option<&'g str> {
    let integers = bias.input_name(0)?;
    if graph_index.constant(integers)?.data_type() != data_type::INT32 {
        return None;
    }
    if bias.input_name(2).is_some()
        && zero_points(graph_index, bias, data_type::INT32)?.iter().any(|&zero| zero != 0)
    {
        return None;
    }
    let own = scales(graph_index, bias)?;
    let is_product = |(own, weight): (&f32, &f32)| (own - from * weight).abs() <= 1e-5 * own.abs();
    (own.len() == of_weights.len() && own.iter().zip(of_weights).all(is_product))
        .then_some(integers)
}

/// The scale of a (de)quantisation, if it has exactly one.
fn scale(graph_index: &GraphIndex<'_>, node: &NodeProto) -> Option<f32> {
    scales(graph_index, node)?.try_into().ok().map(|[one]: [f32; 1]| one)
}

/// The scales of a (de)quantisation.
fn scales(graph_index: &GraphIndex<'_>, node: &NodeProto) -> Option<Vec<f32>> {
    let scales = graph_index.constant(node.input_name(1)?)?;
    if scales.data_type() == data_type::FLOAT { scales.to_float32s() } else { None }
}

/// A signed 8-bit value shifted to 0..255. A file may hold others in a tensor of 8-bit values, as
/// it stores those in 32 bits.
fn shifted_byte(value: i64) -> Option<u8> {
    i8::try_from(value).ok().map(|value| value.cast_unsigned() ^ 0x80)
}

fn shifted_bytes(values: &[i64]) -> Option<Vec<u8>> {
    values.iter().map(|&value| shifted_byte(value)).collect()
}

/// The zero point of a (de)quantisation, if it has exactly one, of this type.
fn zero_point(graph_index: &GraphIndex<'_>, node: &NodeProto, kind: i32) -> Option<i64> {
    zero_points(graph_index, node, kind)?.try_into().ok().map(|[one]: [i64; 1]| one)
}

fn zero_points(graph_index: &GraphIndex<'_>, node: &NodeProto, kind: i32) -> Option<Vec<i64>> {
    let zeros = graph_index.constant(node.input_name(2)?)?;
    if zeros.data_type() == kind { zeros.to_int64s() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::ValueInfoProto;

    #[test]
    fn a_shifted_byte_is_128_more_and_no_other_value_has_one() {
        assert_eq!([-128, -1, 0, 127].map(shifted_byte), [0, 127, 128, 255].map(Some));
        assert_eq!([-129, 128, i64::MIN, i64::MAX].map(shifted_byte), [None; 4]);
    }

    fn bytes(name: &str, kind: i32, dims: &[i64], values: &[u8]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(kind),
            raw_data: Some(values.to_vec().into()),
            ..TensorProto::default()
        }
    }

    /// A convolution of two filters between a dequantisation and a quantisation. `kind` is the type
    /// of its input and output.
    fn graph(kind: i32, bias_scales: [f32; 2]) -> GraphProto {
        let node = |op: &str, inputs: &str, output: &str| {
            NodeProto::new(op, &inputs.split(' ').collect::<Vec<_>>(), &[output])
        };
        let per_filter = |node: NodeProto| node.with(AttributeProto::int("axis", 0));
        let nodes = vec![
            node("QuantizeLinear", "image xs z", "q"),
            node("DequantizeLinear", "q xs z", "x"),
            per_filter(node("DequantizeLinear", "w ws wz", "wf")),
            per_filter(node("DequantizeLinear", "b bs bz", "bf")),
            node("Conv", "x wf bf", "c").with(AttributeProto::ints("pads", [1, 1, 1, 1])),
            node("Relu", "c", "r"),
            node("QuantizeLinear", "r ys z", "p"),
            node("DequantizeLinear", "p ys z", "y"),
        ];
        let lowest = if kind == data_type::INT8 { 128 } else { 0 };
        GraphProto {
            initializer: vec![
                TensorProto::float32("xs", &[], &[0.5]),
                TensorProto::float32("ys", &[], &[0.25]),
                bytes("z", kind, &[], &[lowest]),
                bytes("w", data_type::INT8, &[2, 1, 1, 1], &[3, 250]),
                TensorProto::float32("ws", &[2], &[0.5, 0.125]),
                bytes("wz", data_type::INT8, &[2], &[0, 0]),
                bytes("b", data_type::INT32, &[2], &[1, 0, 0, 0, 2, 0, 0, 0]),
                TensorProto::float32("bs", &[2], &bias_scales),
                bytes("bz", data_type::INT32, &[2], &[0; 8]),
            ],
            node: nodes,
            output: vec![ValueInfoProto::untyped("y")],
            ..Default::default()
        }
    }

    fn summary(graph: &GraphProto) -> Vec<String> {
        graph.node.iter().map(|node| format!("{} {}", node.op(), node.input.join(" "))).collect()
    }

    const FUSED: [&str; 3] = [
        "QuantizeLinear image xs z",
        "QLinearConv q xs z w ws wz ys z b",
        "DequantizeLinear p ys z",
    ];

    #[test]
    fn a_convolution_between_quantisations_becomes_one_of_integers() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, true), 1);
        assert_eq!(summary(&graph), FUSED);
        assert_eq!(graph.node[1].ints("pads"), Some(&[1, 1, 1, 1][..]));
    }

    #[test]
    fn activations_become_unsigned_first() {
        let mut graph = graph(data_type::INT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, true), 1);
        assert_eq!(summary(&graph), FUSED.map(|node| node.replace(" z", " camlens/unsigned/0")));
        let zero = graph.initializer.last().unwrap();
        assert_eq!((zero.data_type(), zero.to_int64s().unwrap()), (data_type::UINT8, vec![0]));
    }

    #[test]
    fn weights_become_unsigned_where_kernels_saturate() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, false), 1);
        let shifted = [
            "Cast w",
            "Add camlens/unsigned/wide/w camlens/unsigned/offset",
            "Cast camlens/unsigned/far/w",
        ];
        let convolution =
            FUSED[1].replace("w ws wz", "camlens/unsigned/of/w ws camlens/unsigned/of/wz");
        assert_eq!(summary(&graph)[..3], shifted);
        assert_eq!(summary(&graph)[3..], [FUSED[0], &convolution, FUSED[2]]);
        let zeros = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == "camlens/unsigned/of/wz")
            .unwrap();
        let known = (zeros.data_type(), zeros.dims.clone(), zeros.to_int64s().unwrap());
        assert_eq!(known, (data_type::UINT8, vec![2], vec![128, 128]));
    }

    #[test]
    fn a_type_named_by_an_attribute_is_left_alone() {
        let mut graph = graph(data_type::INT8, [0.25, 0.0625]);
        for node in graph.node.iter_mut().filter(|node| node.is("QuantizeLinear")) {
            node.attribute.push(AttributeProto::int("output_dtype", i64::from(data_type::INT8)));
        }
        let before = summary(&graph);
        assert_eq!((fuse(&mut graph, true), summary(&graph)), (0, before));
    }

    #[test]
    fn a_float_that_is_read_elsewhere_is_computed_in_addition() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        graph.output.push(ValueInfoProto::untyped("c"));
        assert_eq!(fuse(&mut graph, true), 1);
        let ops: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        let dequantise = "DequantizeLinear";
        assert_eq!(
            ops,
            [
                "QuantizeLinear",
                dequantise,
                dequantise,
                dequantise,
                "Conv",
                "QLinearConv",
                dequantise
            ]
        );
        assert_eq!(graph.node[5].input.join(" "), "q xs z w ws wz ys z b");
    }

    #[test]
    fn a_bias_of_another_scale_is_left_alone() {
        assert_eq!(fuse(&mut graph(data_type::UINT8, [0.25, 0.07]), true), 0);
    }
}
