//! The part of a model behind a layer, as a model of its own.
//!
//! Methods that change a layer's activation and look what the scores do then need no
//! more than the way from that layer to the scores. [`Tail::new`] cuts it out: its input
//! is the activation as maps `[N, C, h, w]`, and whatever else of the head the way
//! reads, a shortcut past the layer for one, comes in beside it. What depends on the
//! image only by its size (the shapes that exporters compute) is not carried over but computed
//! again, so that it follows the number of maps in a batch.

use std::collections::HashSet;

use super::head::ClassifierHead;
use super::layers::{Layer, Layout};
use crate::graph::{image_input::ImageInput, prepared::PreparedModel};
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, data_type,
};

/// The input that holds the activation of a layer whose tensor is no `[N, C, h, w]`.
const MAPS: &str = "camlens/tail/maps";
/// The input that holds such a layer's own tensor, for the tokens that are no places.
const WHOLE: &str = "camlens/tail/whole";

/// The part of a model behind a layer.
#[derive(Clone, Debug)]
pub struct Tail {
    /// It, as a model like any other: programs can be written for it.
    pub prepared: PreparedModel,
    /// The layer, as a layer of this model.
    pub layer: Layer,
    /// The inputs besides the activation, each with the tensor of the whole model that it takes.
    pub side_inputs: Vec<(String, String)>,
}

impl Tail {
    /// Cuts a model behind `layer`.
    ///
    /// # Errors
    /// Why the way from the layer to the scores can't be run by itself.
    pub fn new(
        prepared: &PreparedModel,
        shapes: &TensorFacts,
        score: &ClassifierHead,
        layer: &Layer,
    ) -> Result<Self, String> {
        let graph = prepared.graph();
        let graph_index = GraphIndex::new(graph);
        let cut = Cut::make(&graph_index, shapes, &prepared.input.name, score, layer)?;
        let mut side_inputs: Vec<(String, String)> =
            cut.side_inputs.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let (input, mut nodes, mut initializers) = entrance(shapes, layer)?;
        if nodes.iter().any(|node| node.input.iter().any(|name| name == WHOLE)) {
            side_inputs.push((WHOLE.to_owned(), layer.tensor.clone()));
        }

        nodes.extend(cut.nodes.iter().map(|&index| graph.node[index].clone()));
        let read: HashSet<&str> = nodes.iter().flat_map(reads).collect();
        let is_read = |tensor: &&TensorProto| read.contains(tensor.name());
        initializers.extend(graph.initializer.iter().filter(is_read).cloned());
        let others = side_inputs.iter().map(|(name, tensor)| {
            let rank = shapes.get(tensor).map(<[i64]>::len);
            float_input(name, rank.map(|rank| vec![None; rank]))
        });
        let [channels, height, width] = layer.shape.map(|size| Some(size as i64));
        let activation = float_input(&input, Some(vec![None, channels, height, width]));
        let cut_out = GraphProto {
            name: graph.name.clone(),
            input: std::iter::once(activation).chain(others).collect(),
            node: nodes,
            initializer: initializers,
            output: vec![ValueInfoProto::untyped(&score.tensor)],
            ..GraphProto::default()
        };
        let model = ModelProto { graph: Some(cut_out), ..prepared.model.clone() };
        let prepared = PreparedModel {
            model,
            input: ImageInput {
                name: input.clone(),
                sizes: [None, channels, height, width],
                takes_bytes: false,
            },
            unsupported_reason: prepared.unsupported_reason.clone(),
            is_rewritten: prepared.is_rewritten,
        };
        let layer = Layer { tensor: input, layout: Layout::Maps, ..layer.clone() };
        Ok(Self { prepared, layer, side_inputs })
    }
}

/// Why the way from a layer to the scores can't be run by itself, if it can't.
///
/// # Errors
/// As [`Tail::new`].
pub fn check(
    prepared: &PreparedModel,
    shapes: &TensorFacts,
    score: &ClassifierHead,
    layer: &Layer,
) -> Result<(), String> {
    let graph_index = GraphIndex::new(prepared.graph());
    Cut::make(&graph_index, shapes, &prepared.input.name, score, layer).map(drop)
}

/// The name of the activation's input, and the nodes that make the layer's own tensor of it.
fn entrance(
    shapes: &TensorFacts,
    layer: &Layer,
) -> Result<(String, Vec<NodeProto>, Vec<TensorProto>), String> {
    let [channels, height, width] = layer.shape.map(|size| size as i64);
    let kind = shapes.element_type(&layer.tensor);
    let is_short = kind != data_type::FLOAT;
    match layer.layout {
        Layout::Maps if !is_short => Ok((layer.tensor.clone(), Vec::new(), Vec::new())),
        Layout::Maps => {
            let cast = NodeProto::new("Cast", &[MAPS], &[&layer.tensor]);
            Ok((
                MAPS.to_owned(),
                vec![cast.with(AttributeProto::int("to", kind.into()))],
                Vec::new(),
            ))
        }
        Layout::ChannelsLast => {
            let turned = if is_short { "camlens/tail/turned" } else { layer.tensor.as_str() };
            let order = AttributeProto::ints("perm", [0, 2, 3, 1]);
            let mut nodes = vec![NodeProto::new("Transpose", &[MAPS], &[turned]).with(order)];
            if is_short {
                let to = AttributeProto::int("to", kind.into());
                nodes.push(NodeProto::new("Cast", &[turned], &[&layer.tensor]).with(to));
            }
            Ok((MAPS.to_owned(), nodes, Vec::new()))
        }
        Layout::Tokens(tokens) => {
            let named = |what: &str| format!("camlens/tail/{what}");
            let count = shapes.get(&layer.tensor).and_then(|sizes| sizes.get(1)).copied();
            let count =
                count.ok_or_else(|| format!("the shape of '{}' is unknown", layer.tensor))?;
            let (first, last) = (tokens.skip as i64, tokens.skip as i64 + height * width);
            let (rows, turned) = (named("rows"), named("places"));
            let sizes = [
                named("sizes"),
                named("axis"),
                named("zero"),
                named("first"),
                named("last"),
                named("end"),
            ];
            let constants = vec![
                TensorProto::int64(&sizes[0], &[3], &[-1, channels, height * width]),
                TensorProto::int64(&sizes[1], &[1], &[1]),
                TensorProto::int64(&sizes[2], &[1], &[0]),
                TensorProto::int64(&sizes[3], &[1], &[first]),
                TensorProto::int64(&sizes[4], &[1], &[last]),
                TensorProto::int64(&sizes[5], &[1], &[count]),
            ];
            let mut nodes = vec![
                NodeProto::new("Reshape", &[MAPS, &sizes[0]], &[&rows]),
                NodeProto::new("Transpose", &[&rows], &[&turned])
                    .with(AttributeProto::ints("perm", [0, 2, 1])),
            ];
            // Tokens that are no places stay as the image has them.
            let (before, behind) = (named("before"), named("behind"));
            let mut parts = vec![turned.as_str()];
            if first > 0 {
                nodes.push(NodeProto::new(
                    "Slice",
                    &[WHOLE, &sizes[2], &sizes[3], &sizes[1]],
                    &[&before],
                ));
                parts.insert(0, &before);
            }
            if last < count {
                nodes.push(NodeProto::new(
                    "Slice",
                    &[WHOLE, &sizes[4], &sizes[5], &sizes[1]],
                    &[&behind],
                ));
                parts.push(&behind);
            }
            let join = NodeProto::new("Concat", &parts, &[&layer.tensor])
                .with(AttributeProto::int("axis", 1));
            nodes.push(join);
            Ok((MAPS.to_owned(), nodes, constants))
        }
    }
}

/// Which nodes stand behind a layer, and what of the head they read.
struct Cut<'g> {
    /// Positions, in order.
    nodes: Vec<usize>,
    side_inputs: Vec<&'g str>,
}

impl<'g> Cut<'g> {
    fn make(
        graph_index: &GraphIndex<'g>,
        shapes: &TensorFacts,
        image: &'g str,
        score: &'g ClassifierHead,
        layer: &'g Layer,
    ) -> Result<Self, String> {
        let is_short = shapes.element_type(&layer.tensor) != data_type::FLOAT;
        if is_short && matches!(layer.layout, Layout::Tokens(_)) {
            return Err(format!("'{}' holds tokens in fewer than 32 bits", layer.name));
        }
        let (score, layer) = (score.tensor.as_str(), layer.tensor.as_str());
        let behind = graph_index.downstream(layer, |_| false);
        if !behind.contains(score) {
            return Err(format!("the score does not depend on '{layer}'"));
        }
        // A shape tells nothing of the image but its size.
        let of_image = graph_index.downstream(image, |node| matches!(node.op(), "Shape" | "Size"));
        let mut nodes: HashSet<usize> = HashSet::new();
        let mut side_inputs: Vec<&str> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::from([layer]);
        let mut open = vec![score];
        while let Some(tensor) = open.pop() {
            if !seen.insert(tensor) || graph_index.constant(tensor).is_some() {
                continue;
            }
            let is_head = of_image.contains(tensor) && !behind.contains(tensor);
            let position = graph_index.position(tensor);
            match position {
                // Only floats are handed over; a comparison or an index is made again from what it
                // was made of.
                Some(_) if is_head && shapes.element_type(tensor) == data_type::FLOAT => {
                    side_inputs.push(tensor)
                }
                None => side_inputs.push(tensor),
                Some(position) => {
                    if nodes.insert(position) {
                        open.extend(reads(&graph_index.graph.node[position]));
                    }
                }
            }
        }
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        nodes.sort_unstable();
        side_inputs.sort_unstable();
        Ok(Self { nodes, side_inputs })
    }
}

fn float_input(name: &str, sizes: Option<Vec<Option<i64>>>) -> ValueInfoProto {
    let dimension =
        |size: Option<i64>| Dimension { value: size.map(DimensionValue::Size), denotation: None };
    let shape =
        sizes.map(|sizes| TensorShapeProto { dim: sizes.into_iter().map(dimension).collect() });
    let tensor = TensorType { elem_type: Some(data_type::FLOAT), shape };
    ValueInfoProto {
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..ValueInfoProto::untyped(name)
    }
}
