//! Finds chains of 3×3 convolutions and replaces each with one node.
//!
//! A tensor inside a chain that another node reads, or that is a graph output, becomes an output of
//! the new node.

use std::collections::HashSet;

use crate::engine::optimize::common::DOMAIN;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, GraphProto, NodeProto, data_type};

/// The operator's name. Inputs: the feature maps, then each layer's filter and, if it has one, its
/// bias. Outputs: one tensor for each entry of [`attributes::OUTPUTS`].
pub(crate) const OPERATOR: &str = "ConvolutionChain";

/// The node's attributes. Each is a list of integers.
pub(crate) mod attributes {
    /// For each layer, 1 if it has a bias.
    pub(crate) const BIAS: &str = "bias";
    /// For each layer, 1 if a ReLU follows.
    pub(crate) const RELU: &str = "relu";
    /// For each layer, 1 if a max-pooling follows.
    pub(crate) const POOL: &str = "pool";
    /// For each output, the layer's index and 1 if the output is taken after the layer's
    /// max-pooling.
    pub(crate) const OUTPUTS: &str = "outputs";
    /// 1 if equal patches must give exactly equal outputs.
    pub(crate) const EQUAL_PATCHES: &str = "equal_patches";
}

/// With fewer channels, the Winograd transforms cost as much as they save.
const MIN_CHANNELS: i64 = 32;
/// A convolution that is alone in its chain needs this many channels, in or out. The runtime keeps
/// neighbouring convolutions in one blocked layout, which a chain interrupts. Measured between two
/// convolutions of 1×1, as in a bottleneck block, against the runtime alone (ONNX Runtime 1.32,
/// AVX-512, one thread): 32 channels take 1.48 to 0.98 of the time for sides of 7 to 56, 48 take
/// 1.03 to 0.83, 64 take 1.09 to 0.77, 256 take 0.92 to 0.60. A fixed limit rather than a trial
/// while loading, so that a model gives the same digits each time it is loaded.
const MIN_LONE_CHANNELS: i64 = 64;
/// The first layer may have so few channels, an image's; it is computed directly.
const IMAGE_CHANNELS: i64 = 4;

/// One convolution of a chain, with its ReLU and max-pooling.
struct ConvLayer<'g> {
    conv: &'g NodeProto,
    relu: Option<&'g NodeProto>,
    pool: Option<&'g NodeProto>,
}

impl ConvLayer<'_> {
    /// The output before the max-pooling.
    fn before_pool(&self) -> &str {
        &self.relu.unwrap_or(self.conv).output[0]
    }

    /// The output that the next layer reads.
    fn output(&self) -> &str {
        self.pool.map_or_else(|| self.before_pool(), |pool| &pool.output[0])
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeProto> {
        [Some(self.conv), self.relu, self.pool].into_iter().flatten()
    }
}

/// Replaces every chain with one node. Returns the number of convolutions in each.
pub(crate) fn fuse(graph: &mut GraphProto) -> Vec<usize> {
    let chains: Vec<(usize, NodeProto, Vec<String>)> = {
        let graph_index = GraphIndex::new(graph);
        // A max-pooling that looks for the positions of its maxima finds the first of equal values,
        // so values that are equal in exact arithmetic must not differ by rounding.
        let equal_patches = finds_maxima(graph);
        let replacement = |chain: &Vec<ConvLayer<'_>>| {
            let (node, replaced) = replacement(&graph_index, chain);
            let flag = i64::from(equal_patches);
            let node = node.with(AttributeProto::ints(attributes::EQUAL_PATCHES, [flag]));
            (chain.len(), node, replaced)
        };
        find_chains(&graph_index).iter().map(replacement).collect()
    };
    chains
        .into_iter()
        .map(|(convolutions, node, replaced)| {
            replace(graph, node, &replaced);
            convolutions
        })
        .collect()
}

/// Removes the nodes whose first outputs are in `replaced` and inserts `node` where the first of
/// them stood.
fn replace(graph: &mut GraphProto, node: NodeProto, replaced: &[String]) {
    let replaced: HashSet<&str> = replaced.iter().map(String::as_str).collect();
    let goes = |node: &NodeProto| {
        node.output.first().is_some_and(|output| replaced.contains(output.as_str()))
    };
    let at = graph.node.iter().position(goes).unwrap_or(graph.node.len());
    graph.node.retain(|node| !goes(node));
    graph.node.insert(at, node);
}

fn find_chains<'g>(graph_index: &GraphIndex<'g>) -> Vec<Vec<ConvLayer<'g>>> {
    let mut taken: HashSet<&str> = HashSet::new();
    let mut chains = Vec::new();
    for node in &graph_index.graph.node {
        let Some((channels, out_channels)) = convolution(graph_index, node) else { continue };
        if taken.contains(node.output[0].as_str())
            || !(channels <= IMAGE_CHANNELS || channels >= MIN_CHANNELS)
        {
            continue;
        }
        let chain = follow(graph_index, node);
        // A single convolution of an image, or of few channels, does not pay for the change of
        // layout.
        let pays_alone =
            channels >= MIN_CHANNELS && channels.max(out_channels) >= MIN_LONE_CHANNELS;
        if pays_alone || chain.len() > 1 {
            taken.extend(chain.iter().map(|layer| layer.conv.output[0].as_str()));
            chains.push(chain);
        }
    }
    chains
}

/// The chain that begins with a convolution.
fn follow<'g>(graph_index: &GraphIndex<'g>, first: &'g NodeProto) -> Vec<ConvLayer<'g>> {
    let mut chain = Vec::new();
    let mut next = Some(first);
    while let Some(conv) = next {
        let relu = graph_index.sole_consumer(&conv.output[0]).filter(|reader| reader.is("Relu"));
        let mut layer = ConvLayer { conv, relu, pool: None };
        let continues = |tensor: &str| {
            let goes_on = |node: &&NodeProto| {
                convolution(graph_index, node).is_some_and(|(channels, _)| channels >= MIN_CHANNELS)
                    && node.input[0] == tensor
            };
            graph_index.consumers(tensor).find(goes_on)
        };
        next = continues(layer.before_pool());
        if next.is_none() {
            let pool =
                graph_index.consumers(layer.before_pool()).find(|node| is_max_pool_2x2(node));
            next = pool.and_then(|pool| continues(&pool.output[0]));
            layer.pool = pool;
        }
        chain.push(layer);
    }
    chain
}

/// The node that computes a chain, and the first outputs of the nodes that it replaces.
fn replacement(graph_index: &GraphIndex<'_>, chain: &[ConvLayer<'_>]) -> (NodeProto, Vec<String>) {
    let inside: HashSet<&str> =
        chain.iter().flat_map(ConvLayer::nodes).map(|node| node.output[0].as_str()).collect();
    let is_read = |tensor: &str| {
        graph_index.is_output(tensor)
            || graph_index.consumers(tensor).any(|reader| {
                !reader.output.first().is_some_and(|output| inside.contains(output.as_str()))
            })
    };
    let (mut outputs, mut output_spec) = (Vec::new(), Vec::new());
    for (index, layer) in chain.iter().enumerate() {
        for (tensor, is_pooled) in [(layer.before_pool(), false), (layer.output(), true)] {
            let is_last = index + 1 == chain.len() && tensor == layer.output();
            if (is_read(tensor) || is_last) && !outputs.contains(&tensor) {
                outputs.push(tensor);
                output_spec.extend([index as i64, i64::from(is_pooled)]);
            }
        }
    }
    let mut inputs = vec![chain[0].conv.input[0].as_str()];
    for layer in chain {
        inputs.push(&layer.conv.input[1]);
        inputs.extend(layer.conv.input_name(2));
    }
    let flags = |flag: fn(&ConvLayer<'_>) -> bool| {
        chain.iter().map(|layer| i64::from(flag(layer))).collect::<Vec<_>>()
    };
    let node = NodeProto {
        name: Some(format!("camlens/conv_chain/{}", chain[0].conv.label())),
        domain: Some(DOMAIN.into()),
        ..NodeProto::new(OPERATOR, &inputs, &outputs)
    }
    .with(AttributeProto::ints(attributes::BIAS, flags(|layer| layer.conv.input_name(2).is_some())))
    .with(AttributeProto::ints(attributes::RELU, flags(|layer| layer.relu.is_some())))
    .with(AttributeProto::ints(attributes::POOL, flags(|layer| layer.pool.is_some())))
    .with(AttributeProto::ints(attributes::OUTPUTS, output_spec));
    (node, inside.into_iter().map(str::to_owned).collect())
}

/// True if a list attribute is absent or holds nothing but `value`.
fn all(node: &NodeProto, name: &str, value: i64) -> bool {
    node.ints(name).is_none_or(|values| values.iter().all(|&other| other == value))
}

/// Input and output channels of a convolution that a chain can take.
fn convolution(graph_index: &GraphIndex<'_>, node: &NodeProto) -> Option<(i64, i64)> {
    if !node.is("Conv")
        || node.int("group", 1) != 1
        || !all(node, "strides", 1)
        || !all(node, "dilations", 1)
    {
        return None;
    }
    let weights = graph_index.constant(node.input_name(1)?)?;
    let is_float = |name: &str| {
        graph_index.constant(name).is_some_and(|tensor| tensor.data_type() == data_type::FLOAT)
    };
    let &[out_channels, in_channels, 3, 3] = weights.dims.as_slice() else { return None };
    let is_padded = match node.string("auto_pad", "NOTSET") {
        "NOTSET" => node.ints("pads") == Some(&[1, 1, 1, 1]),
        // With stride 1, both variants pad by one on each side.
        "SAME_UPPER" | "SAME_LOWER" => true,
        _ => false,
    };
    let is_known = is_float(node.input_name(1)?) && node.input_name(2).is_none_or(is_float);
    (is_padded && is_known && out_channels >= MIN_CHANNELS).then_some((in_channels, out_channels))
}

/// True if a max-pooling's indices are used, here or in the body of a node: the backward pass is
/// the body of a `Loop`.
fn finds_maxima(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| {
        let has_indices = node.output.get(1).is_some_and(|indices| !indices.is_empty());
        let mut bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
        (node.is("MaxPool") && has_indices) || bodies.any(finds_maxima)
    })
}

/// True for a 2×2 max-pooling with stride 2 and no other attribute.
fn is_max_pool_2x2(node: &NodeProto) -> bool {
    node.is("MaxPool")
        && node.output.len() == 1
        && node.ints("kernel_shape") == Some(&[2, 2])
        && node.ints("strides") == Some(&[2, 2])
        && all(node, "pads", 0)
        && all(node, "dilations", 1)
        && node.int("ceil_mode", 0) == 0
        && matches!(node.string("auto_pad", "NOTSET"), "NOTSET" | "VALID")
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{TensorProto, ValueInfoProto};

    fn weights(name: &str, out_channels: i64, in_channels: i64) -> TensorProto {
        let count = (out_channels * in_channels * 9) as usize;
        TensorProto::float32(name, &[out_channels, in_channels, 3, 3], &vec![0.0; count])
    }

    fn conv(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto::new("Conv", inputs, &[output]).with(AttributeProto::ints("pads", [1, 1, 1, 1]))
    }

    fn pool(input: &str, output: &str) -> NodeProto {
        NodeProto::new("MaxPool", &[input], &[output])
            .with(AttributeProto::ints("kernel_shape", [2, 2]))
            .with(AttributeProto::ints("strides", [2, 2]))
    }

    /// Two convolutions with ReLU, a max-pooling, and a mean.
    fn model() -> GraphProto {
        GraphProto {
            node: vec![
                conv(&["x", "w1", "b1"], "c1"),
                NodeProto::new("Relu", &["c1"], &["r1"]),
                conv(&["r1", "w2"], "c2"),
                NodeProto::new("Relu", &["c2"], &["r2"]),
                pool("r2", "p2"),
                NodeProto::new("GlobalAveragePool", &["p2"], &["y"]),
            ],
            initializer: vec![
                weights("w1", 32, 3),
                TensorProto::float32("b1", &[32], &[0.0; 32]),
                weights("w2", 64, 32),
            ],
            output: vec![ValueInfoProto::untyped("y")],
            ..Default::default()
        }
    }

    fn ops(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(NodeProto::op).collect()
    }

    #[test]
    fn a_chain_becomes_one_node_whose_outputs_are_the_tensors_read_outside() {
        let mut plain = model();
        assert_eq!(fuse(&mut plain), [2]);
        assert_eq!(ops(&plain), [OPERATOR, "GlobalAveragePool"]);
        let node = &plain.node[0];
        assert_eq!(node.input, ["x", "w1", "b1", "w2"]);
        assert_eq!(node.output, ["p2"]);
        assert_eq!(node.ints(attributes::OUTPUTS), Some(&[1, 1][..]));
        assert_eq!(node.ints(attributes::BIAS), Some(&[1, 0][..]));

        let mut tapped = model();
        tapped.node.push(NodeProto::new("Identity", &["r2"], &["activation"]));
        tapped.output.push(ValueInfoProto::untyped("activation"));
        fuse(&mut tapped);
        let node = &tapped.node[0];
        assert_eq!(node.output, ["r2", "p2"]);
        assert_eq!(node.ints(attributes::OUTPUTS), Some(&[1, 0, 1, 1][..]));
    }

    #[test]
    fn a_lone_convolution_of_few_channels_is_left_alone() {
        let ops_with = |channels: i64| {
            let mut graph = GraphProto {
                node: vec![conv(&["x", "w"], "y")],
                initializer: vec![weights("w", channels, 32)],
                output: vec![ValueInfoProto::untyped("y")],
                ..Default::default()
            };
            fuse(&mut graph);
            ops(&graph).join(" ")
        };
        assert_eq!(ops_with(48), "Conv");
        assert_eq!(ops_with(64), OPERATOR);
    }

    #[test]
    fn equal_patches_matter_where_a_max_pooling_gives_indices() {
        let flag = |graph: &mut GraphProto| {
            fuse(graph);
            graph.node[0].ints(attributes::EQUAL_PATCHES).map(<[i64]>::to_vec)
        };
        assert_eq!(flag(&mut model()), Some(vec![0]));
        let mut backward = model();
        let mut again = pool("r2", "p2again");
        again.output.push("indices".into());
        let mut in_body = backward.clone();
        backward.node.push(again.clone());
        assert_eq!(flag(&mut backward), Some(vec![1]));
        let body = GraphProto { node: vec![again], ..GraphProto::default() };
        let body =
            AttributeProto { name: Some("body".into()), g: Some(body), ..Default::default() };
        in_body.node.push(NodeProto::new("Loop", &["r2"], &["z"]).with(body));
        assert_eq!(flag(&mut in_body), Some(vec![1]));
    }

    #[test]
    fn a_pre_relu_tensor_that_is_read_outside_ends_the_chain() {
        let mut model = model();
        model.output.push(ValueInfoProto::untyped("c1"));
        fuse(&mut model);
        assert_eq!(ops(&model), ["Conv", "Relu", OPERATOR, "GlobalAveragePool"]);
    }

    #[test]
    fn other_convolutions_are_left_alone() {
        let stays = |change: fn(&mut GraphProto)| {
            let mut model = model();
            change(&mut model);
            fuse(&mut model);
            ops(&model).contains(&"Conv")
        };
        assert!(!stays(|_| {}));
        assert!(stays(|graph| graph.node[2]
            .attribute
            .push(AttributeProto::ints("strides", [2, 2]))));
        assert!(stays(|graph| graph.node[2].attribute.push(AttributeProto::int("group", 2))));
        assert!(stays(|graph| graph.node[2].attribute[0].ints = vec![0, 0, 0, 0]));
        assert!(stays(|graph| graph.initializer[2].dims = vec![64, 32, 1, 9]));
        assert!(stays(|graph| graph.node[2].input[1] = "computed".into()));
    }
}
