//! Finds the layers of a graph in order of computation, and any other tensor by name.

mod declared;

use std::collections::HashSet;

use super::axes::{self, TracedAxes};
use super::elementwise::{Elementwise, ignores_values};
use super::layer_output::{LayerEnd, float_output, layer_node, starts_layer, walk_layer};
use super::names::{drop_common_suffix, friendly, make_unique};
use super::unlisted::computed;
use super::{Layer, Layout, Tokens, layout};
use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::{GraphProto, NodeProto};
use onnx_gradient::quantized::float_equivalent;
use onnx_gradient::vjp;

/// What the manifest says about a model's tensors.
#[derive(Clone, Copy, Debug)]
pub struct LayoutHints {
    /// The layout of the image input: [`Layout::Maps`] or [`Layout::ChannelsLast`].
    pub image: Layout,
    /// The grid of positions among the tokens, if it is configured.
    pub tokens: Option<Tokens>,
}

/// Finds layers between a graph's input and its score.
#[derive(Debug)]
pub struct Finder<'g> {
    graph_index: GraphIndex<'g>,
    facts: &'g TensorFacts,
    score: &'g str,
    hints: LayoutHints,
    traced: TracedAxes<'g>,
    /// The tensors that depend on the image.
    of_image: HashSet<&'g str>,
    /// The tensors that the score depends on.
    upstream: HashSet<&'g str>,
    /// The tensors whose gradient is a straight-through estimate.
    straight_through: HashSet<&'g str>,
}

impl<'g> Finder<'g> {
    /// Traces the axes of a graph. `score` is the tensor of the classifier's scores.
    #[must_use]
    pub fn new(
        graph: &'g GraphProto,
        facts: &'g TensorFacts,
        score: &'g str,
        hints: LayoutHints,
    ) -> Self {
        let graph_index = GraphIndex::new(graph);
        let input = graph.input.first().map_or("", |input| input.name());
        let of_image = graph_index.downstream(input, |_| false);
        let traced = axes::trace(&graph_index, facts, hints.image);
        let upstream = graph_index.upstream(score);
        let straight_through = straight_through(graph, &upstream);
        Self { graph_index, facts, score, hints, traced, of_image, upstream, straight_through }
    }

    /// The layers between the input and the score, in order of computation.
    #[must_use]
    pub fn find(&self) -> Vec<Layer> {
        let (graph_index, of_image) = (&self.graph_index, &self.of_image);
        let input = graph_index.graph.input.first().map_or("", |input| input.name());
        let mut of_values = graph_index.downstream(input, |node| ignores_values(graph_index, node));
        // What reads a layer for another purpose than the score does not part it.
        of_values.retain(|tensor| self.upstream.contains(tensor));
        let operators = Elementwise { graph_index, facts: self.facts, of_image: &of_values };
        let mut seen = HashSet::new();
        let mut inside: HashSet<&str> = HashSet::new();
        let mut found: Vec<(usize, Layer)> = Vec::new();
        for node in &graph_index.graph.node {
            let equivalent = float_equivalent(node);
            if !equivalent.is_standard() || !starts_layer(graph_index, &equivalent, of_image) {
                continue;
            }
            let first = float_output(graph_index, node).filter(|first| !inside.contains(first));
            let Some(first) = first else { continue };
            let walk = walk_layer(operators, first, self.score);
            inside.extend(walk.inside);
            let end = walk.ends.iter().rev().find_map(|&end| self.held(operators, end));
            let Some(HeldLayer { tensor, layout, named_by }) = end else { continue };
            if !self.upstream.contains(tensor)
                || !of_image.contains(tensor)
                || tensor == self.score
                || !seen.insert(tensor)
            {
                continue;
            }
            let last = layer_node(graph_index, named_by).unwrap_or(node);
            let Some(mut layer) = self.layer(tensor, layout, last, node) else { continue };
            layer.is_pooled |= tensor == first && equivalent.op().ends_with("Pool");
            found.push((graph_index.position(tensor).unwrap_or(0), layer));
        }
        found.sort_by_key(|(position, _)| *position);
        let mut layers: Vec<Layer> = found.into_iter().map(|(_, layer)| layer).collect();
        drop_common_suffix(&mut layers);
        make_unique(&mut layers);
        self.leave_tensor_names(&mut layers);
        layers
    }

    /// A layer named after its node gets its tensor's name where the node's is another tensor's, so
    /// that each name of a tensor leads to that tensor.
    fn leave_tensor_names(&self, layers: &mut [Layer]) {
        let is_other = |layer: &Layer| {
            let tensor = computed(self.graph_index.graph, &layer.name);
            layer.name == layer.node && tensor.is_some_and(|tensor| tensor != layer.tensor)
        };
        for layer in layers.iter_mut().filter(|layer| is_other(layer)) {
            layer.name.clone_from(&layer.tensor);
        }
    }

    /// How the end of a layer holds maps, there or where its axes are in the image's order again.
    /// An activation whose axes never return is a layer in its own axes.
    fn held<'t>(
        &'t self,
        operators: Elementwise<'t, 'g>,
        end: LayerEnd<'t>,
    ) -> Option<HeldLayer<'t>> {
        let tensor = self.in_image_order(operators, end.tensor);
        let has_name = |tensor: &str| {
            self.graph_index.producer(tensor).is_some_and(|node| !node.name().is_empty())
        };
        let is_named = end.is_activated && has_name(end.tensor);
        let named_by = if is_named { end.tensor } else { tensor };
        if let Some(layout) = self.layout(tensor) {
            return Some(HeldLayer { tensor, layout, named_by });
        }
        let is_layer = end.is_activated || self.traced.is_transposed(end.tensor);
        let layout = self.rearranged(end.tensor).filter(|_| is_layer)?;
        Some(HeldLayer { tensor: end.tensor, layout, named_by })
    }

    fn layer(
        &self,
        tensor: &str,
        layout: Layout,
        last: &NodeProto,
        first: &NodeProto,
    ) -> Option<Layer> {
        Some(Layer {
            name: friendly(last, first),
            other_names: Vec::new(),
            tensor: tensor.to_owned(),
            node: last.label().to_owned(),
            shape: layout.shape(self.facts.get(tensor)?)?,
            layout,
            is_pooled: last.op().ends_with("Pool"),
            affects_score_per_position: self.affects_score_per_position(tensor, layout),
            is_straight_through: self.straight_through.contains(tensor),
            moved_by: self.moved_by(tensor, layout),
        })
    }

    /// How a float tensor holds its maps: for tokens as configured, else as traced, else guessed
    /// from the token count. Integers (masks, indices, the output of `QLinearConv`) are no
    /// activations without a scale.
    fn layout(&self, tensor: &str) -> Option<Layout> {
        if !is_float(self.facts.element_type(tensor)) {
            return None;
        }
        let sizes = self.facts.get(tensor)?;
        let traced = self.traced.layout(tensor);
        let &[images, count, _] = sizes else { return traced };
        let configured =
            self.hints.tokens.filter(|tokens| tokens.fits(usize::try_from(count).unwrap_or(0)));
        if let Some(tokens) =
            configured.filter(|_| traced.is_some() || self.images() == Some(images))
        {
            return Some(Layout::Tokens(tokens));
        }
        if traced.is_some()
            || self.images() != Some(images)
            || !self.may_have_image_order(tensor)
            // Rows and columns are known to be elsewhere than in the second axis.
            || self.rearranged(tensor).is_some()
        {
            return traced;
        }
        layout::guess_tokens(usize::try_from(count).ok()?, self.image_size()?).map(Layout::Tokens)
    }

    /// False when a tensor is computed from one whose positions are known to be in another order
    /// than the image's.
    fn may_have_image_order(&self, tensor: &str) -> bool {
        let mut open = vec![tensor];
        let mut seen: HashSet<&str> = HashSet::new();
        while let Some(tensor) = open.pop() {
            match self.traced.has_image_order(tensor) {
                Some(false) => return false,
                // A traced tensor is in order, whatever it is computed from.
                Some(true) => {}
                None if seen.insert(tensor) => {
                    open.extend(self.graph_index.producer(tensor).into_iter().flat_map(reads))
                }
                None => {}
            }
        }
        true
    }

    /// The node that may have moved the layer's positions. Tokens of a grid that the manifest
    /// declares are where it says.
    fn moved_by(&self, tensor: &str, layout: Layout) -> Option<String> {
        let is_declared =
            matches!(layout, Layout::Tokens(tokens) if self.hints.tokens == Some(tokens));
        let node = self.traced.moved_by(&self.graph_index, tensor).filter(|_| !is_declared)?;
        Some(format!("'{}' ({})", node.label(), node.op()))
    }

    fn input_sizes(&self) -> Option<&[i64]> {
        self.facts.get(self.graph_index.graph.input.first()?.name())
    }

    fn images(&self) -> Option<i64> {
        self.input_sizes()?.first().copied()
    }

    fn image_size(&self) -> Option<[usize; 2]> {
        let [_, height, width] = self.hints.image.shape(self.input_sizes()?)?;
        Some([height, width])
    }

    /// Whether every position of a tensor influences the score: true unless it has a class token
    /// and no node between it and the score combines several tokens.
    fn affects_score_per_position(&self, tensor: &str, layout: Layout) -> bool {
        if !matches!(layout, Layout::Tokens(tokens) if tokens.skip > 0) {
            return true;
        }
        let (nodes, downstream) = self.path_to_score(tensor);
        let is_traced = self.traced.layout(tensor).is_some();
        nodes.into_iter().any(|node| {
            let mixes = self.traced.mixes_positions(node, |input| downstream.contains(input));
            // Without traced axes, only the softmax of an attention surely combines tokens.
            mixes.unwrap_or_else(|| !is_traced && node.op() == "Softmax")
        })
    }

    /// The nodes between a tensor and the score, and the tensors downstream of it.
    fn path_to_score(&self, tensor: &str) -> (Vec<&'g NodeProto>, HashSet<&'g str>) {
        let Some(tensor) = self.graph_index.own_name(tensor) else { return Default::default() };
        let downstream = self.graph_index.downstream(tensor, |_| false);
        let between = |output: &String| {
            output != tensor
                && downstream.contains(output.as_str())
                && self.upstream.contains(output.as_str())
        };
        let nodes = &self.graph_index.graph.node;
        (nodes.iter().filter(|node| node.output.iter().any(between)).collect(), downstream)
    }

    /// Follows a tensor whose positions are not in the order of the image, such as attention
    /// windows, to where they are again; the tensor itself if that is nowhere.
    fn in_image_order<'t>(&'t self, operators: Elementwise<'t, 'g>, tensor: &'t str) -> &'t str {
        let mut end = tensor;
        while self.traced.layout(end).is_none()
            && let Some(consumer) = operators.sole_reader(end)
            && matches!(
                consumer.op(),
                "Flatten" | "Identity" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze"
            )
            && let Some(output) = consumer.output.first()
        {
            end = output;
        }
        if self.traced.layout(end).is_some() { end } else { tensor }
    }

    /// How a float tensor holds its maps in other axes, if it does.
    fn rearranged(&self, tensor: &str) -> Option<Layout> {
        let sizes = self.facts.get(tensor);
        let sizes = sizes.filter(|_| is_float(self.facts.element_type(tensor)))?;
        self.traced.rearrangement(tensor, sizes).map(Layout::Rearranged)
    }
}

/// The end of a layer that holds maps.
struct HeldLayer<'t> {
    tensor: &'t str,
    layout: Layout,
    /// The tensor whose producer names the layer.
    named_by: &'t str,
}

/// The tensors that are quantised on their way to the score, found by one walk over the graph.
fn straight_through<'g>(graph: &'g GraphProto, upstream: &HashSet<&'g str>) -> HashSet<&'g str> {
    let mut found: HashSet<&str> = HashSet::new();
    for node in graph.node.iter().rev() {
        let mut outputs = node.output.iter().map(String::as_str);
        let is_before = outputs.clone().any(|output| found.contains(output));
        if is_before
            || vjp::is_straight_through(node) && outputs.any(|output| upstream.contains(output))
        {
            found.extend(reads(node));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::layers::LayerDeclaration;
    use onnx_gradient::proto::{AttributeProto, TensorProto, ValueInfoProto, data_type};

    #[test]
    fn a_layers_output_is_the_output_of_its_activation() {
        let graph = GraphProto {
            input: vec![ValueInfoProto::untyped("x")],
            node: vec![
                NodeProto::new("Conv", &["x", "features.0.weight"], &["c"]),
                NodeProto::new("BatchNormalization", &["c"], &["b"]),
                NodeProto::new("Sigmoid", &["b"], &["s"]),
                NodeProto::new("Mul", &["b", "s"], &["silu"]),
                NodeProto::new("GlobalAveragePool", &["silu"], &["y"]),
            ],
            ..Default::default()
        };
        let facts = ["x", "c", "b", "s", "silu"]
            .map(|name| (name.to_owned(), vec![1, 8, 4, 4]))
            .into_iter()
            .collect();
        let layers =
            Finder::new(&graph, &facts, "y", LayoutHints { image: Layout::Maps, tokens: None })
                .find();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].tensor, "silu");
        assert_eq!(layers[0].name, "features.0");
        assert_eq!(layers[0].shape, [8, 4, 4]);
    }

    #[test]
    fn maps_of_integers_are_no_layer() {
        let graph = GraphProto {
            input: vec![ValueInfoProto::untyped("x")],
            node: vec![
                NodeProto::new("Conv", &["x", "w"], &["maps"]),
                NodeProto::new("QuantizeLinear", &["maps", "scale", "zero"], &["integers"]),
                NodeProto::new("MaxPool", &["integers"], &["pooled"]),
                NodeProto::new("DequantizeLinear", &["pooled", "scale", "zero"], &["floats"]),
                NodeProto::new("GlobalAveragePool", &["floats"], &["y"]),
            ],
            ..Default::default()
        };
        let sized = |name: &str| (name.to_owned(), vec![1, 8, 4, 4]);
        let types = [("integers", data_type::UINT8), ("pooled", data_type::UINT8)];
        let facts: TensorFacts =
            ["x", "maps", "integers", "pooled", "floats"].map(sized).into_iter().collect();
        let facts =
            facts.with_types(types.map(|(name, element)| (name.to_owned(), element)).into());
        let finder =
            Finder::new(&graph, &facts, "y", LayoutHints { image: Layout::Maps, tokens: None });
        let mut found = finder.find();
        let tensors: Vec<&str> = found.iter().map(|layer| layer.tensor.as_str()).collect();
        assert_eq!(tensors, ["maps"]);
        let mut declare = |target: &str| {
            let declared = LayerDeclaration::Tensor(target.to_owned());
            finder.declare(&mut found, &[("mine".to_owned(), declared)].into())
        };
        let error = declare("indices").unwrap_err();
        assert!(error.contains("maps of floats"), "{error}");
        // Integers stand for the floats that they are dequantised to.
        assert_eq!(declare("pooled"), Ok(()));
        assert_eq!(found.last().map(|layer| layer.tensor.as_str()), Some("floats"));
    }

    #[test]
    fn tokens_in_another_order_are_no_maps_even_if_their_count_fits() {
        let order = AttributeProto::ints("perm", [0, 3, 5, 2, 4, 1]);
        let keepdims = AttributeProto::int("keepdims", 0);
        let norm = |from: &str, to: &str| NodeProto::new("LayerNormalization", &[from, "g"], &[to]);
        // Hiera unrolls them like this: first the position within a square of four, then the
        // square.
        let nodes: [(NodeProto, &[i64]); 9] = [
            (NodeProto::new("Conv", &["x", "w"], &["maps"]), &[1, 8, 4, 4]),
            (NodeProto::new("Reshape", &["maps", "s"], &["cut"]), &[1, 8, 2, 2, 2, 2]),
            (
                NodeProto::new("Transpose", &["cut"], &["transposed"]).with(order),
                &[1, 2, 2, 2, 2, 8],
            ),
            (NodeProto::new("Reshape", &["transposed", "s"], &["unrolled"]), &[1, 16, 8]),
            (norm("unrolled", "traced"), &[1, 16, 8]),
            (NodeProto::new("Unknown", &["traced"], &["untraced"]), &[1, 16, 8]),
            (norm("untraced", "guessed"), &[1, 16, 8]),
            (NodeProto::new("Reshape", &["traced", "s"], &["squares"]), &[1, 4, 4, 8]),
            (
                NodeProto::new("ReduceMax", &["squares", "axis"], &["in order"]).with(keepdims),
                &[1, 4, 8],
            ),
        ];
        let last: [(NodeProto, &[i64]); 2] = [
            (norm("in order", "coarse"), &[1, 4, 8]),
            (NodeProto::new("Concat", &["coarse", "guessed"], &["y"]), &[1, 20, 8]),
        ];
        let (node, sizes): (Vec<_>, Vec<_>) = (nodes.into_iter().chain(last))
            .map(|(node, sizes)| (node.clone(), (node.output[0].clone(), sizes.to_vec())))
            .unzip();
        let graph = GraphProto {
            input: vec![ValueInfoProto::untyped("x")],
            node,
            initializer: vec![TensorProto::int64("axis", &[1], &[1])],
            ..Default::default()
        };
        let facts = sizes.into_iter().chain([("x".to_owned(), vec![1, 3, 8, 8])]).collect();
        let layers =
            Finder::new(&graph, &facts, "y", LayoutHints { image: Layout::Maps, tokens: None })
                .find();
        let found: Vec<(&str, Layout)> =
            layers.iter().map(|layer| (layer.tensor.as_str(), layer.layout)).collect();
        let coarse = Layout::Tokens(Tokens { skip: 0, grid: [2, 2] });
        assert_eq!(found, [("maps", Layout::Maps), ("coarse", coarse)]);
    }
}
