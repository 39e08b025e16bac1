//! Finding convolutions that are computed in floats between roundings, and that the runtime can
//! compute in integers.
//!
//! In the QDQ format of ONNX Runtime's quantiser a convolution stands between `DequantizeLinear`,
//! which tells integers in floats, and `QuantizeLinear`, which rounds what it gives: one
//! `QLinearConv`, whose kernels take a fraction of the time. The runtime would fuse them itself,
//! but aborts where a backward pass reads in between. Here floats that anybody else reads, a
//! backward pass or a layer, are computed besides: so every program of a model gives the
//! same scores.
//!
//! In integers the sum is exact, and in floats nearly so: a number that lies within rounding of the
//! middle between two integers may become the other one. The runtime's own fusion does the same. On
//! processors whose kernels cut off sums of products with signed weights, weights get other zero
//! points, and no sign: those kernels are exact.

use std::collections::{HashMap, HashSet};

use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type};

/// Replaces every such convolution, with weights that may or may not keep their signs; returns how
/// many.
pub(crate) fn fuse(graph: &mut GraphProto, may_have_signs: bool) -> usize {
    without_signs(graph);
    let graph_index = GraphIndex::new(graph);
    let nodes = graph.node.iter().enumerate();
    let mut replacements: HashMap<usize, NodeProto> =
        nodes.filter_map(|(index, node)| Some((index, replacement(&graph_index, node)?))).collect();
    let moved =
        if may_have_signs { Moved::default() } else { Moved::of(&graph_index, &mut replacements) };
    let count = replacements.len();
    crate::engine::optimize::common::replace(graph, replacements);
    graph.node.splice(0..0, moved.nodes);
    graph.initializer.extend(moved.constants);
    count
}

/// Weights of −128..127 as weights of 0..255. Nodes do it, which the runtime works out when it
/// loads a program: the weights themselves lie in the model's file.
#[derive(Default)]
struct Moved {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Moved {
    /// Those of all these convolutions, which read them from now on.
    fn of(graph_index: &GraphIndex<'_>, convolutions: &mut HashMap<usize, NodeProto>) -> Self {
        const DISTANCE: &str = "camlens/unsigned/distance";
        let mut moved = Self::default();
        let mut done: HashSet<String> = HashSet::new();
        for conv in convolutions.values_mut() {
            let [weights, zeros] = [3, 5].map(|place| conv.input[place].clone());
            let signed =
                graph_index.constant(&zeros).filter(|zeros| zeros.data_type() == data_type::INT8);
            let Some((of_zeros, values)) =
                signed.and_then(|zeros| Some((zeros, zeros.to_int64s()?)))
            else {
                continue;
            };
            // What comes first tells these from each other and from other zero points, whatever a
            // tensor is called.
            let named = |what: &str, name: &str| format!("camlens/unsigned/{what}/{name}");
            let unsigned = |name: &str| named("of", name);
            (conv.input[3], conv.input[5]) = (unsigned(&weights), unsigned(&zeros));
            if done.insert(zeros.clone()) {
                moved.constants.push(TensorProto {
                    name: Some(unsigned(&zeros)),
                    data_type: Some(data_type::UINT8),
                    raw_data: Some(values.into_iter().map(|zero| (zero + 128) as u8).collect()),
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
                moved.nodes.push(cast(&weights, &wide, data_type::INT32));
                moved.nodes.push(NodeProto::new("Add", &[&wide, DISTANCE], &[&far]));
                moved.nodes.push(cast(&far, &unsigned(&weights), data_type::UINT8));
            }
        }
        if !moved.nodes.is_empty() {
            moved.constants.push(TensorProto {
                name: Some(DISTANCE.into()),
                data_type: Some(data_type::INT32),
                raw_data: Some(128_i32.to_le_bytes().to_vec().into()),
                ..TensorProto::default()
            });
        }
        moved
    }
}

/// Lets what is rounded to −128..127 be rounded to 0..255: the same floats, but the runtime has
/// kernels of few processors for the former. Nobody but `DequantizeLinear` may read the integers.
fn without_signs(graph: &mut GraphProto) {
    let graph_index = GraphIndex::new(graph);
    let mut moved: Vec<(usize, i64)> = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        // A type that an attribute names would stay behind.
        if !node.is("QuantizeLinear") || node.attribute("output_dtype").is_some() {
            continue;
        }
        let Some(zero) = zero_point(&graph_index, node, data_type::INT8) else { continue };
        let Some(output) = node.output.first().filter(|output| !graph_index.is_output(output))
        else {
            continue;
        };
        let tells = |reader: &NodeProto| {
            reader.is("DequantizeLinear")
                && reader.input_name(0) == Some(output)
                && zero_point(&graph_index, reader, data_type::INT8) == Some(zero)
        };
        if graph_index.consumers(output).all(tells) {
            moved.extend(
                graph_index
                    .consumer_positions(output)
                    .chain([index])
                    .map(|index| (index, zero + 128)),
            );
        }
    }
    let mut zeros: Vec<i64> = moved.iter().map(|&(_, zero)| zero).collect();
    zeros.sort_unstable();
    zeros.dedup();
    let name = |zero: i64| format!("camlens/unsigned/{zero}");
    for (index, zero) in moved {
        graph.node[index].input[2] = name(zero);
    }
    graph.initializer.extend(zeros.into_iter().map(|zero| TensorProto {
        name: Some(name(zero)),
        data_type: Some(data_type::UINT8),
        raw_data: Some(vec![zero as u8].into()),
        ..TensorProto::default()
    }));
}

/// The convolution in integers that gives what a node rounds to.
fn replacement(graph_index: &GraphIndex<'_>, round: &NodeProto) -> Option<NodeProto> {
    let zero =
        zero_point(graph_index, round, data_type::UINT8).filter(|_| round.is("QuantizeLinear"))?;
    let mut conv = graph_index.producer(round.input_name(0)?)?;
    // What is below 0 is rounded to 0 as well.
    if conv.is("Relu") && zero == 0 {
        conv = graph_index.producer(conv.input_name(0)?)?;
    }
    if !conv.is("Conv") {
        return None;
    }
    let told = |place: usize| {
        graph_index.producer(conv.input_name(place)?).filter(|node| node.is("DequantizeLinear"))
    };
    let (input, weights) = (told(0)?, told(1)?);
    zero_point(graph_index, input, data_type::UINT8)?;
    let (from, _) = (scale(graph_index, input)?, scale(graph_index, round)?);
    let of_weights = scales(graph_index, weights)?;
    // A scale for each filter, or one for all; zeros of one type, all the same.
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
        inputs.extend((0..3).filter_map(|place| node.input_name(place)));
    }
    inputs.extend((1..3).filter_map(|place| round.input_name(place)));
    if conv.input_name(2).is_some() {
        inputs.push(sums(graph_index, told(2)?, from, &of_weights)?);
    }
    let mut node = NodeProto::new("QLinearConv", &inputs, &[round.output.first()?]);
    node.name = conv.name.as_ref().map(|name| format!("{name}/integers"));
    node.attribute.clone_from(&conv.attribute);
    Some(node)
}

/// The integers of a bias, if they count in units of what is summed: the product of both scales.
fn sums<'g>(
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

/// The scale of a node that rounds or tells, if it has just one.
fn scale(graph_index: &GraphIndex<'_>, node: &NodeProto) -> Option<f32> {
    scales(graph_index, node)?.try_into().ok().map(|[one]: [f32; 1]| one)
}

/// The scales of a node that rounds or tells.
fn scales(graph_index: &GraphIndex<'_>, node: &NodeProto) -> Option<Vec<f32>> {
    let scales = graph_index.constant(node.input_name(1)?)?;
    if scales.data_type() == data_type::FLOAT { scales.to_float32s() } else { None }
}

/// Its zero point, if it has just one, of this type.
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

    fn bytes(name: &str, kind: i32, dims: &[i64], values: &[u8]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(kind),
            raw_data: Some(values.to_vec().into()),
            ..TensorProto::default()
        }
    }

    /// A convolution of two filters between roundings; `kind` is the type of what it reads and
    /// gives.
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

    fn told(graph: &GraphProto) -> Vec<String> {
        graph.node.iter().map(|node| format!("{} {}", node.op(), node.input.join(" "))).collect()
    }

    const FUSED: [&str; 3] = [
        "QuantizeLinear image xs z",
        "QLinearConv q xs z w ws wz ys z b",
        "DequantizeLinear p ys z",
    ];

    #[test]
    fn a_convolution_between_roundings_is_one_of_integers() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, true), 1);
        assert_eq!(told(&graph), FUSED);
        assert_eq!(graph.node[1].ints("pads"), Some(&[1, 1, 1, 1][..]));
    }

    #[test]
    fn signs_are_moved_away_first() {
        let mut graph = graph(data_type::INT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, true), 1);
        assert_eq!(told(&graph), FUSED.map(|node| node.replace(" z", " camlens/unsigned/0")));
        let zero = graph.initializer.last().unwrap();
        assert_eq!((zero.data_type(), zero.to_int64s().unwrap()), (data_type::UINT8, vec![0]));
    }

    #[test]
    fn weights_lose_their_signs_where_sums_of_them_are_cut_off() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        assert_eq!(fuse(&mut graph, false), 1);
        let moved = [
            "Cast w",
            "Add camlens/unsigned/wide/w camlens/unsigned/distance",
            "Cast camlens/unsigned/far/w",
        ];
        let convolution =
            FUSED[1].replace("w ws wz", "camlens/unsigned/of/w ws camlens/unsigned/of/wz");
        assert_eq!(told(&graph)[..3], moved);
        assert_eq!(told(&graph)[3..], [FUSED[0], &convolution, FUSED[2]]);
        let zeros = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == "camlens/unsigned/of/wz")
            .unwrap();
        let known = (zeros.data_type(), zeros.dims.clone(), zeros.to_int64s().unwrap());
        assert_eq!(known, (data_type::UINT8, vec![2], vec![128, 128]));
    }

    #[test]
    fn a_type_that_an_attribute_names_stays() {
        let mut graph = graph(data_type::INT8, [0.25, 0.0625]);
        for node in graph.node.iter_mut().filter(|node| node.is("QuantizeLinear")) {
            node.attribute.push(AttributeProto::int("output_dtype", i64::from(data_type::INT8)));
        }
        let before = told(&graph);
        assert_eq!((fuse(&mut graph, true), told(&graph)), (0, before));
    }

    #[test]
    fn what_others_read_is_computed_in_floats_besides() {
        let mut graph = graph(data_type::UINT8, [0.25, 0.0625]);
        graph.output.push(ValueInfoProto::untyped("c"));
        assert_eq!(fuse(&mut graph, true), 1);
        let ops: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        let tell = "DequantizeLinear";
        assert_eq!(ops, ["QuantizeLinear", tell, tell, tell, "Conv", "QLinearConv", tell]);
        assert_eq!(graph.node[5].input.join(" "), "q xs z w ws wz ys z b");
    }

    #[test]
    fn a_bias_in_other_units_stays_in_floats() {
        assert_eq!(fuse(&mut graph(data_type::UINT8, [0.25, 0.07]), true), 0);
    }
}
