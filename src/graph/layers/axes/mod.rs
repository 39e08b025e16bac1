//! What the axes of every tensor stand for, traced from the image through the graph.
//!
//! A convolution keeps rows and columns as axes of their own. Transformers flatten
//! them into tokens, put class tokens before them, cut them into windows and put
//! them together again, and move the channels to the end; sizes alone do not tell
//! 64 windows of 49 places from a map of 64×49. So an axis is a list of [`Part`]s,
//! the most significant first, which reshaping splits and joins and transposing
//! moves. An operator that may mix places, or that this module does not know, leaves
//! its result untraced; a residual sum with a traced tensor is traced again.

mod operators;
mod part;

use std::collections::HashMap;

use self::operators::Tracer;
use self::part::{Axes, Axis, Of, Part, places};
use super::layout::Layout;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::float_equivalent;

/// The axes of the tensors that could be traced.
#[derive(Debug)]
pub struct Traced<'g> {
    axes: HashMap<&'g str, Axes>,
    images: Axis,
}

/// Traces a graph from its image input on, whose layout is [`Layout::Maps`] or
/// [`Layout::ChannelsLast`].
#[must_use]
pub fn trace<'g>(graph_index: &GraphIndex<'g>, shapes: &TensorFacts, image: Layout) -> Traced<'g> {
    let mut tracer = Tracer::new(graph_index, shapes);
    tracer.input(graph_index.graph, image);
    for node in graph_index.graph.node.iter().filter(|node| float_equivalent(node).is_standard()) {
        tracer.node(node);
    }
    Traced { axes: tracer.axes, images: tracer.images }
}

impl Traced<'_> {
    /// How a tensor holds its maps; `None` when it holds none or could not be traced.
    #[must_use]
    pub fn layout(&self, tensor: &str) -> Option<Layout> {
        let axes = self.axes.get(tensor)?;
        let is = |axis: &Axis, of: Of| match axis.as_slice() {
            [] => true,
            [part] => part.of == of && part.is_whole(),
            _ => false,
        };
        let channels = |axis: &Axis| {
            axis.iter().all(|part| match part.of {
                Of::Images | Of::Tokens(_) => false,
                Of::Rows | Of::Columns => !part.is_whole(),
                Of::Channels => true,
            })
        };
        match axes.as_slice() {
            [images, ..] if *images != self.images => None,
            [_, c, h, w] if channels(c) && is(h, Of::Rows) && is(w, Of::Columns) => {
                Some(Layout::Maps)
            }
            [_, h, w, c] if channels(c) && is(h, Of::Rows) && is(w, Of::Columns) => {
                Some(Layout::ChannelsLast)
            }
            [_, tokens, c] if channels(c) => places(tokens).map(Layout::Tokens),
            _ => None,
        }
    }

    /// Whether each axis of a tensor that counts places has them in the order of the image, as a
    /// window's or an unrolled axis has not; `None` when it could not be traced.
    #[must_use]
    pub fn is_in_order(&self, tensor: &str) -> Option<bool> {
        let ordered = |axis: &Axis| match axis.as_slice() {
            [part] => !part.is_place() || part.is_whole(),
            parts => places(axis).is_some() || !parts.iter().any(Part::is_place),
        };
        Some(self.axes.get(tensor)?.iter().all(ordered))
    }

    /// False when this node hands on what stands at each place and no more: after it, what is said
    /// of one place still comes from that place alone. `None` for nodes that see no place.
    #[must_use]
    pub fn mixes(&self, node: &NodeProto, reads: impl Fn(&str) -> bool) -> Option<bool> {
        let node = &float_equivalent(node);
        let has_place = |axis: &Axis| axis.iter().any(Part::is_place);
        let seen = |index: usize| {
            let name = node.input_name(index).filter(|name| reads(name))?;
            self.axes.get(name).filter(|axes| axes.iter().any(has_place))
        };
        if !(0..node.input.len()).any(|index| seen(index).is_some()) {
            return None;
        }
        let along =
            |axes: &Axes, back: usize| axes.len() >= back && has_place(&axes[axes.len() - back]);
        Some(match node.op() {
            "Gather" | "GatherND" | "GatherElements" | "Slice" | "Split" | "Shape" => false,
            "MatMul" | "Gemm" => {
                seen(0).is_some_and(|axes| along(axes, 1))
                    || seen(1).is_some_and(|axes| along(axes, 2))
            }
            "Softmax" => seen(0).is_some_and(|axes| along(axes, 1)),
            _ => node.output.first().is_some_and(|output| {
                self.axes.get(output.as_str()).is_none_or(|axes| !axes.iter().any(has_place))
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::layers::layout::Tokens;
    use onnx_gradient::proto::{AttributeProto, GraphProto, TensorProto, ValueInfoProto};

    /// Layouts of the tensors that these nodes make, for two images `[2, 3, 8, 12]`.
    fn layouts(nodes: Vec<(NodeProto, &[i64])>) -> Vec<Option<Layout>> {
        let mut graph =
            GraphProto { input: vec![ValueInfoProto::untyped("x")], ..Default::default() };
        let mut sizes =
            vec![("x".to_owned(), vec![2, 3, 8, 12]), ("class".to_owned(), vec![2, 1, 16])];
        for (node, shape) in nodes {
            sizes.push((node.output[0].clone(), shape.to_vec()));
            graph.node.push(node);
        }
        for (name, values) in [("one", 1), ("all", i64::MAX), ("axis", 1), ("three", 3)] {
            graph.initializer.push(TensorProto::int64(name, &[1], &[values]));
        }
        let shapes: TensorFacts = sizes.into_iter().collect();
        let graph_index = GraphIndex::new(&graph);
        let traced = trace(&graph_index, &shapes, Layout::Maps);
        graph.node.iter().map(|node| traced.layout(&node.output[0])).collect()
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto::new(op, inputs, &[output])
    }

    fn turned(input: &str, output: &str, order: &[i64]) -> NodeProto {
        node("Transpose", &[input], output).with(AttributeProto::ints("perm", order))
    }

    fn tokens(skip: usize, grid: [usize; 2]) -> Option<Layout> {
        Some(Layout::Tokens(Tokens { skip, grid }))
    }

    #[test]
    fn patches_become_tokens_behind_a_class_token() {
        let found = layouts(vec![
            (node("Conv", &["x", "w"], "maps"), &[2, 16, 2, 3]),
            (node("Reshape", &["maps", "s"], "rows"), &[2, 16, 6]),
            (turned("rows", "tokens", &[0, 2, 1]), &[2, 6, 16]),
            (
                node("Concat", &["class", "tokens"], "with").with(AttributeProto::int("axis", 1)),
                &[2, 7, 16],
            ),
            (node("LayerNormalization", &["with", "g", "b"], "norm"), &[2, 7, 16]),
            (node("Slice", &["norm", "one", "all", "axis"], "places"), &[2, 6, 16]),
        ]);
        assert_eq!(found[..3], [Some(Layout::Maps), None, tokens(0, [2, 3])]);
        assert_eq!(found[3..], [tokens(1, [2, 3]), tokens(1, [2, 3]), tokens(0, [2, 3])]);
    }

    #[test]
    fn patches_by_reshaping_alone_are_a_coarser_grid() {
        let found = layouts(vec![
            (node("Reshape", &["x", "s"], "cut"), &[2, 3, 2, 4, 3, 4]),
            (turned("cut", "gathered", &[0, 2, 4, 3, 5, 1]), &[2, 2, 3, 4, 4, 3]),
            (node("Reshape", &["gathered", "s"], "tokens"), &[2, 6, 48]),
            (node("MatMul", &["tokens", "w"], "embedded"), &[2, 6, 16]),
        ]);
        assert_eq!(found, [None, None, tokens(0, [2, 3]), tokens(0, [2, 3])]);
    }

    #[test]
    fn windows_are_no_maps_until_they_are_put_together_again() {
        let found = layouts(vec![
            (node("Reshape", &["x", "s"], "cut"), &[2, 3, 2, 4, 3, 4]),
            (turned("cut", "by_window", &[0, 2, 4, 3, 5, 1]), &[2, 2, 3, 4, 4, 3]),
            (node("Reshape", &["by_window", "s"], "windows"), &[2, 6, 16, 3]),
            (node("Softmax", &["windows"], "inside"), &[2, 6, 16, 3]),
            (node("Reshape", &["inside", "s"], "apart"), &[2, 2, 3, 4, 4, 3]),
            (turned("apart", "back", &[0, 1, 3, 2, 4, 5]), &[2, 2, 4, 3, 4, 3]),
            (node("Reshape", &["back", "s"], "image"), &[2, 8, 12, 3]),
            // The other order of the two inner axes mixes rows up.
            (turned("apart", "wrong", &[0, 3, 1, 2, 4, 5]), &[2, 4, 2, 3, 4, 3]),
            (node("Reshape", &["wrong", "s"], "mixed"), &[2, 8, 12, 3]),
        ]);
        assert_eq!(found[..6], [None; 6]);
        assert_eq!(found[6..], [Some(Layout::ChannelsLast), None, None]);
    }

    #[test]
    fn what_is_rolled_is_no_map_and_a_residual_sum_with_it_is() {
        let found = layouts(vec![
            (turned("x", "last", &[0, 2, 3, 1]), &[2, 8, 12, 3]),
            (node("Slice", &["last", "three", "all", "axis"], "behind"), &[2, 5, 12, 3]),
            (node("Add", &["last", "unknown"], "sum"), &[2, 8, 12, 3]),
        ]);
        assert_eq!(found, [Some(Layout::ChannelsLast), None, Some(Layout::ChannelsLast)]);
    }
}
