//! Finding a graph's layers, in the order in which they are computed, and any other tensor that
//! somebody names.

use std::collections::HashSet;

use super::axes::{self, Traced};
use super::names::{drop_common_suffix, friendly, make_unique};
use super::span::{follow, maker, starts_layer, told_in_floats};
use super::{FORMS, Layer, Layout, Tokens, layout};
use onnx_gradient::dtype::is_float;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::{GraphProto, NodeProto};
use onnx_gradient::quantized::float_equivalent;
use onnx_gradient::vjp;

/// What is known of a model's tensors besides its graph.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// How the input holds the image: as maps or with the channels last.
    pub image: Layout,
    /// The places among tokens, where somebody says so.
    pub tokens: Option<Tokens>,
}

/// The layers of a graph, and how others are read.
#[derive(Debug)]
pub struct Finder<'g> {
    graph_index: GraphIndex<'g>,
    shapes: &'g TensorFacts,
    score: &'g str,
    hints: Hints,
    traced: Traced<'g>,
}

impl<'g> Finder<'g> {
    /// Traces a graph up to `score`.
    #[must_use]
    pub fn new(
        graph: &'g GraphProto,
        shapes: &'g TensorFacts,
        score: &'g str,
        hints: Hints,
    ) -> Self {
        let graph_index = GraphIndex::new(graph);
        let traced = axes::trace(&graph_index, shapes, hints.image);
        Self { graph_index, shapes, score, hints, traced }
    }

    /// Finds the layers between the input and the score, in the order in which they are computed.
    #[must_use]
    pub fn find(&self) -> Vec<Layer> {
        let (graph_index, graph) = (&self.graph_index, self.graph_index.graph);
        let upstream = graph_index.upstream(self.score);
        let input = graph.input.first().map_or("", |input| input.name());
        let of_image = graph_index.downstream(input, |_| false);
        let mut seen = HashSet::new();
        let mut found: Vec<(usize, Layer)> = Vec::new();
        for node in &graph.node {
            let meant = float_equivalent(node);
            if !meant.is_standard() || !starts_layer(graph_index, &meant, &of_image) {
                continue;
            }
            let Some(first) = told_in_floats(graph_index, node) else { continue };
            let end = self.rearranged(follow(graph_index, first));
            if !upstream.contains(end)
                || !of_image.contains(end)
                || end == self.score
                || !seen.insert(end)
            {
                continue;
            }
            let Some(mut layer) = self.layer(end, maker(graph_index, end).unwrap_or(node), node)
            else {
                continue;
            };
            layer.is_pooled |= end == first && meant.op().ends_with("Pool");
            found.push((graph_index.position(end).unwrap_or(0), layer));
        }
        found.sort_by_key(|(position, _)| *position);
        let mut layers: Vec<Layer> = found.into_iter().map(|(_, layer)| layer).collect();
        drop_common_suffix(&mut layers);
        make_unique(&mut layers);
        layers
    }

    fn layer(&self, tensor: &str, last: &NodeProto, first: &NodeProto) -> Option<Layer> {
        let layout = self.layout(tensor)?;
        Some(Layer {
            name: friendly(last, first),
            tensor: tensor.to_owned(),
            node: last.label().to_owned(),
            shape: layout.shape(self.shapes.get(tensor)?)?,
            layout,
            is_pooled: last.op().ends_with("Pool"),
            places_count: self.places_count(tensor, layout),
            is_estimated: self.is_estimated(tensor),
        })
    }

    /// How a tensor of floats holds maps: as traced, for tokens as somebody said, and else by their
    /// number. Integers (masks, places, what `QLinearConv` gives) are no activations without a
    /// scale.
    fn layout(&self, tensor: &str) -> Option<Layout> {
        if !is_float(self.shapes.element_type(tensor)) {
            return None;
        }
        let sizes = self.shapes.get(tensor)?;
        let traced = self.traced.layout(tensor);
        let &[images, count, _] = sizes else { return traced };
        let said =
            self.hints.tokens.filter(|tokens| tokens.fits(usize::try_from(count).unwrap_or(0)));
        if let Some(tokens) = said.filter(|_| traced.is_some() || self.images() == Some(images)) {
            return Some(Layout::Tokens(tokens));
        }
        if traced.is_some() || self.images() != Some(images) || !self.may_be_in_order(tensor) {
            return traced;
        }
        layout::guess_tokens(usize::try_from(count).ok()?, self.image_size()?).map(Layout::Tokens)
    }

    /// False when a tensor is made of places that are known to stand in another order than the
    /// image's.
    fn may_be_in_order(&self, tensor: &str) -> bool {
        let mut open = vec![tensor];
        let mut seen: HashSet<&str> = HashSet::new();
        while let Some(tensor) = open.pop() {
            match self.traced.is_in_order(tensor) {
                Some(false) => return false,
                // What this one is made of has been put in order.
                Some(true) => {}
                None if seen.insert(tensor) => {
                    open.extend(self.graph_index.producer(tensor).into_iter().flat_map(reads))
                }
                None => {}
            }
        }
        true
    }

    fn input_sizes(&self) -> Option<&[i64]> {
        self.shapes.get(self.graph_index.graph.input.first()?.name())
    }

    fn images(&self) -> Option<i64> {
        self.input_sizes()?.first().copied()
    }

    fn image_size(&self) -> Option<[usize; 2]> {
        let [_, height, width] = self.hints.image.shape(self.input_sizes()?)?;
        Some([height, width])
    }

    /// Whether anything between a tensor and the score looks at more than one token.
    fn places_count(&self, tensor: &str, layout: Layout) -> bool {
        if !matches!(layout, Layout::Tokens(tokens) if tokens.skip > 0) {
            return true;
        }
        let (nodes, below) = self.way_to_score(tensor);
        let is_traced = self.traced.layout(tensor).is_some();
        nodes.into_iter().any(|node| match self.traced.mixes(node, |input| below.contains(input)) {
            Some(mixes) => mixes,
            // Attention is the one thing in which tokens surely meet.
            None => !is_traced && node.op() == "Softmax",
        })
    }

    /// The nodes between a tensor and the score, and all that depends on the tensor.
    fn way_to_score(&self, tensor: &str) -> (Vec<&'g NodeProto>, HashSet<&'g str>) {
        let Some(tensor) = self.graph_index.own_name(tensor) else { return Default::default() };
        let below = self.graph_index.downstream(tensor, |_| false);
        let above = self.graph_index.upstream(self.score);
        let between = |output: &String| {
            output != tensor && below.contains(output.as_str()) && above.contains(output.as_str())
        };
        let nodes = &self.graph_index.graph.node;
        (nodes.iter().filter(|node| node.output.iter().any(between)).collect(), below)
    }

    fn is_estimated(&self, tensor: &str) -> bool {
        self.way_to_score(tensor).0.into_iter().any(vjp::is_straight_through)
    }

    /// Follows what is not in the order of an image, as windows of attention are, to where it is
    /// again.
    fn rearranged<'t>(&'t self, tensor: &'t str) -> &'t str {
        let mut end = tensor;
        while self.traced.layout(end).is_none()
            && let Some(reader) = self.graph_index.sole_consumer(end)
            && matches!(reader.op(), "Reshape" | "Transpose" | "Identity")
            && let Some(output) = reader.output.first()
        {
            end = output;
        }
        if self.traced.layout(end).is_some() { end } else { tensor }
    }

    /// Gives a layer the name that the manifest has for it; `target` is a node or a tensor, of any
    /// layer or none.
    ///
    /// # Errors
    /// The sentence that says that there is no such layer.
    pub fn name(&self, layers: &mut Vec<Layer>, alias: &str, target: &str) -> Result<(), String> {
        let is_target = |layer: &&mut Layer| {
            [&layer.name, &layer.tensor, &layer.node].into_iter().any(|name| name == target)
        };
        if let Some(known) = layers.iter_mut().find(is_target) {
            alias.clone_into(&mut known.name);
            return Ok(());
        }
        let makes = |node: &&NodeProto| {
            node.name() == target || node.output.iter().any(|output| output == target)
        };
        let node = self.graph_index.graph.node.iter().find(makes);
        let tensor = node.and_then(|node| {
            node.output.iter().find(|output| *output == target).or(node.output.first())
        });
        let of_floats = tensor.filter(|tensor| is_float(self.shapes.element_type(tensor)));
        let found = node.zip(of_floats).and_then(|(node, tensor)| {
            // Who names a tensor knows that it is one of maps, even where it can't be traced.
            let untraced =
                || Layout::Maps.shape(self.shapes.get(tensor)?).map(|shape| (Layout::Maps, shape));
            let traced = || {
                let layout = self.layout(tensor)?;
                Some((layout, layout.shape(self.shapes.get(tensor)?)?))
            };
            Some((node, tensor, traced().or_else(untraced)?))
        });
        let Some((node, tensor, (layout, shape))) = found else {
            return Err(format!(
                "layers.{alias}: the model has no node or tensor '{target}' that holds {FORMS}"
            ));
        };
        layers.push(Layer {
            name: alias.to_owned(),
            tensor: tensor.clone(),
            node: node.label().to_owned(),
            shape,
            layout,
            is_pooled: node.op().ends_with("Pool"),
            places_count: self.places_count(tensor, layout),
            is_estimated: self.is_estimated(tensor),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{AttributeProto, TensorProto, ValueInfoProto, data_type};

    #[test]
    fn a_layer_is_taken_behind_its_activation() {
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
        let shapes = ["x", "c", "b", "s", "silu"]
            .map(|name| (name.to_owned(), vec![1, 8, 4, 4]))
            .into_iter()
            .collect();
        let layers =
            Finder::new(&graph, &shapes, "y", Hints { image: Layout::Maps, tokens: None }).find();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].tensor, "silu");
        assert_eq!(layers[0].name, "features.0");
        assert_eq!(layers[0].shape, [8, 4, 4]);
    }

    #[test]
    fn integers_are_no_layer_though_they_stand_in_maps() {
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
        let shapes: TensorFacts =
            ["x", "maps", "integers", "pooled", "floats"].map(sized).into_iter().collect();
        let shapes =
            shapes.with_types(types.map(|(name, element)| (name.to_owned(), element)).into());
        let finder = Finder::new(&graph, &shapes, "y", Hints { image: Layout::Maps, tokens: None });
        let mut found = finder.find();
        let tensors: Vec<&str> = found.iter().map(|layer| layer.tensor.as_str()).collect();
        assert_eq!(tensors, ["maps"]);
        let refused = finder.name(&mut found, "mine", "pooled").unwrap_err();
        assert!(refused.contains("maps of floats"), "{refused}");
        assert_eq!(finder.name(&mut found, "mine", "floats"), Ok(()));
    }

    #[test]
    fn tokens_in_another_order_are_no_maps_however_many_there_are() {
        let turned = AttributeProto::ints("perm", [0, 3, 5, 2, 4, 1]);
        let keepdims = AttributeProto::int("keepdims", 0);
        let norm = |from: &str, to: &str| NodeProto::new("LayerNormalization", &[from, "g"], &[to]);
        // As Hiera unrolls them: first the place within a square of four, then the square.
        let nodes: [(NodeProto, &[i64]); 9] = [
            (NodeProto::new("Conv", &["x", "w"], &["maps"]), &[1, 8, 4, 4]),
            (NodeProto::new("Reshape", &["maps", "s"], &["cut"]), &[1, 8, 2, 2, 2, 2]),
            (NodeProto::new("Transpose", &["cut"], &["turned"]).with(turned), &[1, 2, 2, 2, 2, 8]),
            (NodeProto::new("Reshape", &["turned", "s"], &["unrolled"]), &[1, 16, 8]),
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
        let shapes = sizes.into_iter().chain([("x".to_owned(), vec![1, 3, 8, 8])]).collect();
        let layers =
            Finder::new(&graph, &shapes, "y", Hints { image: Layout::Maps, tokens: None }).find();
        let found: Vec<(&str, Layout)> =
            layers.iter().map(|layer| (layer.tensor.as_str(), layer.layout)).collect();
        let coarse = Layout::Tokens(Tokens { skip: 0, grid: [2, 2] });
        assert_eq!(found, [("maps", Layout::Maps), ("coarse", coarse)]);
    }
}
