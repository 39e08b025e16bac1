//! The part of a model after a layer, as a model of its own.
//!
//! Methods that change a layer's activation and read the scores need only the nodes between that
//! layer and the scores. [`tail`] cuts them out: the input of the result is the activation as maps
//! `[N, C, h, w]`, and other tensors that these nodes read, such as a shortcut past the layer, are
//! side inputs. Tensors that depend on the image only by its size (the shapes that exporters
//! compute) are computed again instead, so that they follow the batch size.

use std::collections::{HashMap, HashSet};

use super::analysed::AnalysedModel;
use super::image_input::ImageInput;
use super::layers::{Layer, Layout, Tokens, UnlistedLayers};
use super::prepared::PreparedModel;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, data_type,
};

/// The input that holds the activation of a layer whose tensor is not `[N, C, h, w]`.
const MAPS: &str = "camlens/tail/maps";
/// The input that holds such a layer's own tensor, for tokens outside the grid.
const ALL_TOKENS: &str = "camlens/tail/tokens";

/// An input of a tail besides the activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideInput {
    /// The name of the tail's input.
    pub name: String,
    /// The tensor of the whole model that it takes.
    pub tensor: String,
}

/// The side inputs of the tail after `layer`.
///
/// # Errors
/// Why the part of the model after the layer cannot run on its own.
pub fn side_inputs(analysed: &AnalysedModel, layer: &Layer) -> Result<Vec<SideInput>, String> {
    let graph_index = GraphIndex::new(analysed.graph());
    let cut = Cut::new(&graph_index, analysed, layer)?;
    let entrance = Entrance::new(&analysed.facts, layer)?;
    Ok(cut.side_inputs(&entrance, layer))
}

/// Cuts out the part of a model after `layer`: a model whose image input is the activation and
/// whose only layer is that input, and its side inputs.
///
/// # Errors
/// As [`side_inputs`].
pub fn tail(
    analysed: &AnalysedModel,
    layer: &Layer,
) -> Result<(AnalysedModel, Vec<SideInput>), String> {
    let AnalysedModel { prepared, facts, head, .. } = analysed;
    let graph = prepared.graph();
    let graph_index = GraphIndex::new(graph);
    let cut = Cut::new(&graph_index, analysed, layer)?;
    let entrance = Entrance::new(facts, layer)?;
    let side_inputs = cut.side_inputs(&entrance, layer);

    let Entrance { input, mut nodes, mut initializers } = entrance;
    nodes.extend(cut.nodes.iter().map(|&index| graph.node[index].clone()));
    let read: HashSet<&str> = nodes.iter().flat_map(reads).collect();
    let is_read = |tensor: &&TensorProto| read.contains(tensor.name());
    initializers.extend(graph.initializer.iter().filter(is_read).cloned());
    let side_input_infos = side_inputs.iter().map(|SideInput { name, tensor }| {
        let rank = facts.get(tensor).map(<[i64]>::len);
        float_input(name, rank.map(|rank| vec![None; rank]))
    });
    let [channels, height, width] = layer.shape.map(|size| Some(size as i64));
    let sizes = [None, channels, height, width];
    let activation = float_input(&input, Some(sizes.to_vec()));
    let graph = GraphProto {
        name: graph.name.clone(),
        input: std::iter::once(activation).chain(side_input_infos).collect(),
        node: nodes,
        initializer: initializers,
        output: head.ends().map(ValueInfoProto::untyped).collect(),
        ..GraphProto::default()
    };
    let reason = analysed.gradient_unsupported_reason(layer);
    let tail = AnalysedModel {
        prepared: PreparedModel {
            model: ModelProto { graph: Some(graph), ..prepared.model.clone() },
            input: ImageInput { name: input.clone(), sizes, takes_bytes: false },
            unsupported_reason: prepared.unsupported_reason.clone(),
            is_rewritten: prepared.is_rewritten,
            varying_nodes: prepared.varying_nodes.clone(),
        },
        facts: facts.clone(),
        head: head.clone(),
        gradient_unsupported_reasons: HashMap::from_iter(
            reason.map(|reason| (input.clone(), reason.to_owned())),
        ),
        averaged: HashSet::default(),
        layers: vec![Layer { tensor: input, layout: Layout::Maps, ..layer.clone() }],
        hints: analysed.hints,
        unlisted: UnlistedLayers::default(),
    };
    Ok((tail, side_inputs))
}

/// The start of a tail: its activation input, and the nodes that compute the layer's own tensor
/// from it.
struct Entrance {
    /// The name of the activation's input.
    input: String,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Entrance {
    fn new(facts: &TensorFacts, layer: &Layer) -> Result<Self, String> {
        let element_type = facts.element_type(&layer.tensor);
        let is_short = element_type != data_type::FLOAT;
        let cast = |from: &str| {
            let to = AttributeProto::int("to", element_type.into());
            NodeProto::new("Cast", &[from], &[&layer.tensor]).with(to)
        };
        let nodes = match layer.layout {
            Layout::Maps if !is_short => {
                let (nodes, initializers) = (Vec::new(), Vec::new());
                return Ok(Self { input: layer.tensor.clone(), nodes, initializers });
            }
            Layout::Maps => vec![cast(MAPS)],
            Layout::ChannelsLast => {
                let transposed =
                    if is_short { "camlens/tail/transposed" } else { layer.tensor.as_str() };
                let order = AttributeProto::ints("perm", [0, 2, 3, 1]);
                let transpose = NodeProto::new("Transpose", &[MAPS], &[transposed]).with(order);
                if is_short { vec![transpose, cast(transposed)] } else { vec![transpose] }
            }
            Layout::Tokens(tokens) => return Self::of_tokens(facts, layer, tokens),
            Layout::Rearranged(rearrangement) => {
                if rearrangement.tokens().is_some() {
                    return Err(format!("'{}' holds tokens in another order", layer.name));
                }
                let own = if is_short { "camlens/tail/rearranged" } else { layer.tensor.as_str() };
                let (mut nodes, initializers) = rearrangement.backward(MAPS, own);
                nodes.extend(is_short.then(|| cast(own)));
                return Ok(Self { input: MAPS.to_owned(), nodes, initializers });
            }
        };
        Ok(Self { input: MAPS.to_owned(), nodes, initializers: Vec::new() })
    }

    /// Tokens outside the grid keep the values that they have for the image.
    fn of_tokens(facts: &TensorFacts, layer: &Layer, tokens: Tokens) -> Result<Self, String> {
        let [channels, height, width] = layer.shape.map(|size| size as i64);
        let named = |what: &str| format!("camlens/tail/{what}");
        let count = facts.get(&layer.tensor).and_then(|sizes| sizes.get(1)).copied();
        let count = count.ok_or_else(|| format!("the shape of '{}' is unknown", layer.tensor))?;
        let (first, end) = (tokens.skip as i64, tokens.skip as i64 + height * width);
        let (rows, positions) = (named("rows"), named("positions"));
        let [row_sizes, axis, zero, grid_first, grid_end, token_end] =
            ["row_sizes", "axis", "zero", "grid_first", "grid_end", "token_end"].map(named);
        let initializers = vec![
            TensorProto::int64(&row_sizes, &[3], &[-1, channels, height * width]),
            TensorProto::int64(&axis, &[1], &[1]),
            TensorProto::int64(&zero, &[1], &[0]),
            TensorProto::int64(&grid_first, &[1], &[first]),
            TensorProto::int64(&grid_end, &[1], &[end]),
            TensorProto::int64(&token_end, &[1], &[count]),
        ];
        let mut nodes = vec![
            NodeProto::new("Reshape", &[MAPS, &row_sizes], &[&rows]),
            NodeProto::new("Transpose", &[&rows], &[&positions])
                .with(AttributeProto::ints("perm", [0, 2, 1])),
        ];
        let (before, after) = (named("before"), named("after"));
        let mut parts = vec![positions.as_str()];
        if first > 0 {
            let range = [ALL_TOKENS, &zero, &grid_first, &axis];
            nodes.push(NodeProto::new("Slice", &range, &[&before]));
            parts.insert(0, &before);
        }
        if end < count {
            let range = [ALL_TOKENS, &grid_end, &token_end, &axis];
            nodes.push(NodeProto::new("Slice", &range, &[&after]));
            parts.push(&after);
        }
        let concat = NodeProto::new("Concat", &parts, &[&layer.tensor]);
        nodes.push(concat.with(AttributeProto::int("axis", 1)));
        Ok(Self { input: MAPS.to_owned(), nodes, initializers })
    }

    fn reads_all_tokens(&self) -> bool {
        self.nodes.iter().any(|node| node.input.iter().any(|name| name == ALL_TOKENS))
    }
}

/// Which nodes come after a layer, and which other tensors they read.
struct Cut<'g> {
    /// Indices in the graph, in order.
    nodes: Vec<usize>,
    tensors: Vec<&'g str>,
}

impl<'g> Cut<'g> {
    fn new(
        graph_index: &GraphIndex<'g>,
        analysed: &'g AnalysedModel,
        layer: &'g Layer,
    ) -> Result<Self, String> {
        let AnalysedModel { prepared, facts, head, .. } = analysed;
        let is_short = facts.element_type(&layer.tensor) != data_type::FLOAT;
        if is_short && matches!(layer.layout, Layout::Tokens(_)) {
            return Err(format!("'{}' holds tokens in fewer than 32 bits", layer.name));
        }
        let (image, score) = (prepared.input.name.as_str(), head.tensor.as_str());
        let layer = layer.tensor.as_str();
        let downstream = graph_index.downstream(layer, |_| false);
        if !downstream.contains(score) {
            return Err(format!("the score does not depend on '{layer}'"));
        }
        // A shape depends on the image by its size only.
        let of_image = graph_index.downstream(image, |node| matches!(node.op(), "Shape" | "Size"));
        let mut nodes: HashSet<usize> = HashSet::new();
        let mut tensors: Vec<&str> = Vec::new();
        let mut visited: HashSet<&str> = HashSet::from([layer]);
        let mut open: Vec<&str> = head.ends().collect();
        while let Some(tensor) = open.pop() {
            if !visited.insert(tensor) || graph_index.constant(tensor).is_some() {
                continue;
            }
            let is_before_layer = of_image.contains(tensor) && !downstream.contains(tensor);
            match graph_index.position(tensor) {
                // Only floats become side inputs; a comparison or an index is computed again.
                Some(_) if is_before_layer && facts.element_type(tensor) == data_type::FLOAT => {
                    tensors.push(tensor)
                }
                None => tensors.push(tensor),
                Some(position) => {
                    if nodes.insert(position) {
                        open.extend(reads(&graph_index.graph.node[position]));
                    }
                }
            }
        }
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        nodes.sort_unstable();
        tensors.sort_unstable();
        Ok(Self { nodes, tensors })
    }

    fn side_inputs(&self, entrance: &Entrance, layer: &Layer) -> Vec<SideInput> {
        let same = |name: &&str| SideInput { name: (*name).into(), tensor: (*name).into() };
        let all_tokens = || SideInput { name: ALL_TOKENS.to_owned(), tensor: layer.tensor.clone() };
        let of_entrance = entrance.reads_all_tokens().then(all_tokens);
        self.tensors.iter().map(same).chain(of_entrance).collect()
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
