//! What the axes of every tensor stand for, traced from the image through the graph.
//!
//! A convolution leaves rows and columns as axes of their own. Transformers flatten them into
//! tokens, prepend class tokens, cut them into windows, join the windows again and move the
//! channels to the end. Sizes alone do not distinguish 64 windows of 49 positions from a map of
//! 64×49. So an axis is a list of `AxisFactor`s, the most significant first: reshaping splits and
//! joins them, transposing moves them. The result of an operator that may mix positions, or that
//! this module does not know, is not traced; a residual sum with a traced tensor is traced again.

mod axis_factor;
mod drift;
mod moved;
mod operators;
mod windows;

use std::collections::HashMap;

use self::axis_factor::{Axes, Axis, AxisFactor, AxisKind, token_grid};
use self::drift::Drift;
use self::moved::untraced_at;
use self::operators::Tracer;
use super::layout::Layout;
use super::rearrangement::Rearrangement;
use super::tokens::Tokens;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::float_equivalent;

/// The axes of the tensors that could be traced.
#[derive(Debug)]
pub struct TracedAxes<'g> {
    axes: HashMap<&'g str, Axes>,
    images: Axis,
    moved: HashMap<&'g str, &'g NodeProto>,
    drifts: HashMap<&'g str, Drift<'g>>,
}

/// Traces a graph from its image input, whose layout is [`Layout::Maps`] or
/// [`Layout::ChannelsLast`].
#[must_use]
pub fn trace<'g>(
    graph_index: &GraphIndex<'g>,
    facts: &TensorFacts,
    image: Layout,
) -> TracedAxes<'g> {
    let mut tracer = Tracer::new(graph_index, facts);
    tracer.set_input(graph_index.graph, image);
    for node in graph_index.graph.node.iter().filter(|node| float_equivalent(node).is_standard()) {
        tracer.add_node(node);
    }
    let Tracer { axes, images, moved, drifts, .. } = tracer;
    TracedAxes { axes, images, moved, drifts }
}

impl<'g> TracedAxes<'g> {
    /// How a tensor holds its maps; `None` when it holds none or could not be traced.
    #[must_use]
    pub fn layout(&self, tensor: &str) -> Option<Layout> {
        let axes = self.axes.get(tensor)?;
        let is_whole = |axis: &Axis, kind: AxisKind| match axis.as_slice() {
            [] => true,
            [factor] => factor.kind == kind && factor.is_whole(),
            _ => false,
        };
        // Rows within a window count as channels, all rows of the image do not.
        let holds_channels = |axis: &Axis| {
            axis.iter().all(|factor| match factor.kind {
                AxisKind::Images | AxisKind::Tokens(_) => false,
                AxisKind::Rows | AxisKind::Columns => !factor.is_whole(),
                AxisKind::Channels => true,
            })
        };
        let are_rows_and_columns =
            |h: &Axis, w: &Axis| is_whole(h, AxisKind::Rows) && is_whole(w, AxisKind::Columns);
        match axes.as_slice() {
            [images, ..] if *images != self.images => None,
            [_, c, h, w] if holds_channels(c) && are_rows_and_columns(h, w) => Some(Layout::Maps),
            [_, h, w, c] if holds_channels(c) && are_rows_and_columns(h, w) => {
                Some(Layout::ChannelsLast)
            }
            [_, tokens, c] if holds_channels(c) => token_grid(tokens).map(Layout::Tokens),
            _ => None,
        }
    }

    /// True for maps `[N, C, w, h]`, whose rows are the image's columns.
    #[must_use]
    pub fn is_transposed(&self, tensor: &str) -> bool {
        let is_of = |axis: &Axis, kind: AxisKind| matches!(axis.as_slice(), [factor] if factor.kind == kind && factor.is_whole());
        let is_kind =
            |[_, _, h, w]: &[Axis; 4]| is_of(h, AxisKind::Columns) && is_of(w, AxisKind::Rows);
        let axes = self.axes.get(tensor).and_then(|axes| axes.first_chunk());
        axes.is_some_and(is_kind)
    }

    /// The node that may have moved a tensor's positions within the image, because they could not
    /// be traced through it, or because the windows up to it have moved them by a whole position.
    #[must_use]
    pub fn moved_by(&self, graph_index: &GraphIndex<'g>, tensor: &str) -> Option<&'g NodeProto> {
        match self.axes.get(tensor) {
            Some(axes) => {
                self.moved.get(tensor).copied().or_else(|| self.drifts.get(tensor)?.seen_at(axes))
            }
            None => untraced_at(graph_index, &self.axes, graph_index.own_name(tensor)?),
        }
    }

    /// How a tensor's axes are split and ordered so that it holds maps `[N, C, h, w]` or tokens
    /// `[N, T, C]`; `None` where rows or columns are missing or not all there, or the tensor could
    /// not be traced. `sizes` are the tensor's.
    #[must_use]
    pub fn rearrangement(&self, tensor: &str, sizes: &[i64]) -> Option<Rearrangement> {
        let axes = self.axes.get(tensor)?;
        let factors: Vec<AxisFactor> = axes.iter().flatten().copied().collect();
        let of_kind = |kind: AxisKind| -> Vec<usize> {
            (0..factors.len()).filter(|&index| factors[index].kind == kind).collect()
        };
        let size = |indices: &[usize]| -> i64 {
            indices.iter().map(|&index| factors[index].size).product()
        };
        let images = of_kind(AxisKind::Images);
        let found: Vec<AxisFactor> = images.iter().map(|&index| factors[index]).collect();
        if found != self.images {
            return None;
        }
        let channels = of_kind(AxisKind::Channels);
        let grid_of = |rows: i64, columns: i64| {
            Some([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?])
        };
        let is_tokens = |factor: &AxisFactor| matches!(factor.kind, AxisKind::Tokens(_));
        let tokens: Vec<usize> =
            (0..factors.len()).filter(|&index| is_tokens(&factors[index])).collect();
        let (rows, columns) = (of_kind(AxisKind::Rows), of_kind(AxisKind::Columns));
        let (order, grid) = match (tokens.as_slice(), rows.is_empty() || columns.is_empty()) {
            (&[index], _) if rows.is_empty() && columns.is_empty() => {
                let AxisKind::Tokens(grid) = factors[index].kind else { return None };
                let order = [images.as_slice(), &[index], &channels].concat();
                (order, (grid, Some(factors[index].size)))
            }
            ([], false) => {
                let (rows, columns) = (in_order(&factors, rows)?, in_order(&factors, columns)?);
                let grid = Tokens { skip: 0, grid: grid_of(size(&rows), size(&columns))? };
                let order = [images.as_slice(), &channels, &rows, &columns].concat();
                (order, (grid, None))
            }
            _ => return None,
        };
        // The batch may have another size when the model runs.
        let factor_sizes: Vec<i64> = (factors.iter())
            .map(|factor| if factor.kind == AxisKind::Images { -1 } else { factor.size })
            .collect();
        let has_images = |axis: &Axis| axis.iter().any(|factor| factor.kind == AxisKind::Images);
        let sizes: Vec<i64> = (axes.iter().zip(sizes))
            .map(|(axis, &size)| if has_images(axis) { -1 } else { size })
            .collect();
        Rearrangement::new(&sizes, &factor_sizes, &order, size(&channels), grid)
    }

    /// Whether every spatial axis of a tensor enumerates its positions in the order of the image,
    /// which windows and unrolled axes do not; `None` when the tensor could not be traced.
    #[must_use]
    pub fn has_image_order(&self, tensor: &str) -> Option<bool> {
        let is_ordered = |axis: &Axis| match axis.as_slice() {
            [factor] => !factor.is_spatial() || factor.is_whole(),
            factors => token_grid(axis).is_some() || !factors.iter().any(AxisFactor::is_spatial),
        };
        Some(self.axes.get(tensor)?.iter().all(is_ordered))
    }

    /// False when each position of the node's output depends on the same position of its input
    /// alone; `None` for a node without spatial inputs. Only inputs accepted by `reads` count.
    #[must_use]
    pub fn mixes_positions(&self, node: &NodeProto, reads: impl Fn(&str) -> bool) -> Option<bool> {
        let node = &float_equivalent(node);
        let is_spatial = |axis: &Axis| axis.iter().any(AxisFactor::is_spatial);
        let spatial_input = |index: usize| {
            let name = node.input_name(index).filter(|name| reads(name))?;
            self.axes.get(name).filter(|axes| axes.iter().any(is_spatial))
        };
        if !(0..node.input.len()).any(|index| spatial_input(index).is_some()) {
            return None;
        }
        // Axes are counted from the end, from 1.
        let sums_along = |axes: &Axes, from_end: usize| {
            axes.len() >= from_end && is_spatial(&axes[axes.len() - from_end])
        };
        Some(match node.op() {
            "Gather" | "GatherND" | "GatherElements" | "Slice" | "Split" | "Shape" => false,
            "MatMul" | "Gemm" => {
                spatial_input(0).is_some_and(|axes| sums_along(axes, 1))
                    || spatial_input(1).is_some_and(|axes| sums_along(axes, 2))
            }
            "Softmax" => spatial_input(0).is_some_and(|axes| sums_along(axes, 1)),
            _ => node.output.first().is_some_and(|output| {
                self.axes.get(output.as_str()).is_none_or(|axes| !axes.iter().any(is_spatial))
            }),
        })
    }
}

/// Factors of rows or of columns from the coarsest to the finest, if together they cover the whole
/// extent in equal steps.
fn in_order(factors: &[AxisFactor], mut indices: Vec<usize>) -> Option<Vec<usize>> {
    indices.sort_by_key(|&index| std::cmp::Reverse(factors[index].stride));
    let mut extent = factors[*indices.first()?].whole;
    for &index in &indices {
        let factor = factors[index];
        if factor.size * factor.stride != extent {
            return None;
        }
        extent = factor.stride;
    }
    Some(indices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{AttributeProto, GraphProto, TensorProto, ValueInfoProto};

    /// The layouts of the nodes' outputs, for two images `[2, 3, 8, 12]`.
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
        let facts: TensorFacts = sizes.into_iter().collect();
        let graph_index = GraphIndex::new(&graph);
        let traced = trace(&graph_index, &facts, Layout::Maps);
        graph.node.iter().map(|node| traced.layout(&node.output[0])).collect()
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto::new(op, inputs, &[output])
    }

    fn transposed(input: &str, output: &str, order: &[i64]) -> NodeProto {
        node("Transpose", &[input], output).with(AttributeProto::ints("perm", order))
    }

    fn tokens(skip: usize, grid: [usize; 2]) -> Option<Layout> {
        Some(Layout::Tokens(Tokens { skip, grid }))
    }

    #[test]
    fn patches_become_tokens_after_a_class_token() {
        let found = layouts(vec![
            (node("Conv", &["x", "w"], "maps"), &[2, 16, 2, 3]),
            (node("Reshape", &["maps", "s"], "rows"), &[2, 16, 6]),
            (transposed("rows", "tokens", &[0, 2, 1]), &[2, 6, 16]),
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
    fn patches_cut_by_reshaping_are_a_coarser_grid() {
        let found = layouts(vec![
            (node("Reshape", &["x", "s"], "cut"), &[2, 3, 2, 4, 3, 4]),
            (transposed("cut", "gathered", &[0, 2, 4, 3, 5, 1]), &[2, 2, 3, 4, 4, 3]),
            (node("Reshape", &["gathered", "s"], "tokens"), &[2, 6, 48]),
            (node("MatMul", &["tokens", "w"], "embedded"), &[2, 6, 16]),
        ]);
        assert_eq!(found, [None, None, tokens(0, [2, 3]), tokens(0, [2, 3])]);
    }

    #[test]
    fn windows_are_maps_only_after_they_are_joined_again() {
        let found = layouts(vec![
            (node("Reshape", &["x", "s"], "cut"), &[2, 3, 2, 4, 3, 4]),
            (transposed("cut", "by_window", &[0, 2, 4, 3, 5, 1]), &[2, 2, 3, 4, 4, 3]),
            (node("Reshape", &["by_window", "s"], "windows"), &[2, 6, 16, 3]),
            (node("Softmax", &["windows"], "inside"), &[2, 6, 16, 3]),
            (node("Reshape", &["inside", "s"], "apart"), &[2, 2, 3, 4, 4, 3]),
            (transposed("apart", "back", &[0, 1, 3, 2, 4, 5]), &[2, 2, 4, 3, 4, 3]),
            (node("Reshape", &["back", "s"], "image"), &[2, 8, 12, 3]),
            // With the two inner axes in the other order, rows are mixed up.
            (transposed("apart", "wrong", &[0, 3, 1, 2, 4, 5]), &[2, 4, 2, 3, 4, 3]),
            (node("Reshape", &["wrong", "s"], "mixed"), &[2, 8, 12, 3]),
        ]);
        assert_eq!(found[..6], [None; 6]);
        assert_eq!(found[6..], [Some(Layout::ChannelsLast), None, None]);
    }

    #[test]
    fn a_rolled_tensor_is_no_map_but_its_residual_sum_with_a_map_is() {
        let found = layouts(vec![
            (transposed("x", "last", &[0, 2, 3, 1]), &[2, 8, 12, 3]),
            (node("Slice", &["last", "three", "all", "axis"], "behind"), &[2, 5, 12, 3]),
            (node("Add", &["last", "unknown"], "sum"), &[2, 8, 12, 3]),
        ]);
        assert_eq!(found, [Some(Layout::ChannelsLast), None, Some(Layout::ChannelsLast)]);
    }
}
