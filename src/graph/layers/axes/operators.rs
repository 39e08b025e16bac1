//! What each operator does to the axes of its inputs.
//!
//! To trace through another operator, add an arm to [`Tracer::output_axes`]. An arm must return
//! correct axes or none, because maps are extracted with them.

use std::collections::HashMap;

use super::axis_factor::{
    Axes, Axis, AxisFactor, AxisKind, agree, is_channels, regroup, token_grid, whole_axis,
};
use super::drift::Drift;
use super::moved::{moved_alone, untraced_at};
use super::windows::has_windows;
use crate::graph::layers::elementwise::is_elementwise;
use crate::graph::layers::layout::Layout;
use crate::graph::layers::tokens::Tokens;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::{GraphIndex, reads};
use onnx_gradient::proto::{GraphProto, NodeProto};
use onnx_gradient::quantized::float_equivalent;

/// The axes traced so far.
pub(super) struct Tracer<'t, 'g> {
    pub(super) graph_index: &'t GraphIndex<'g>,
    facts: &'t TensorFacts,
    /// The axes of the tensors that could be traced.
    pub(super) axes: HashMap<&'g str, Axes>,
    /// The batch axis of the image input.
    pub(super) images: Axis,
    /// Traced tensors whose positions may have been moved, with the node that may have done it.
    pub(super) moved: HashMap<&'g str, &'g NodeProto>,
    /// How far the centre of traced tensors was moved.
    pub(super) drifts: HashMap<&'g str, Drift<'g>>,
}

impl<'t, 'g> Tracer<'t, 'g> {
    pub(super) fn new(graph_index: &'t GraphIndex<'g>, facts: &'t TensorFacts) -> Self {
        Self {
            graph_index,
            facts,
            axes: HashMap::new(),
            images: Vec::new(),
            moved: HashMap::new(),
            drifts: HashMap::new(),
        }
    }

    /// Sets the axes of the graph's image input.
    pub(super) fn set_input(&mut self, graph: &'g GraphProto, image: Layout) {
        let Some(input) = graph.input.first() else { return };
        let Some(&[n, a, b, c]) = self.facts.get(input.name()) else { return };
        self.images = whole_axis(AxisKind::Images, n);
        let axes = match image {
            Layout::ChannelsLast => [
                whole_axis(AxisKind::Rows, a),
                whole_axis(AxisKind::Columns, b),
                whole_axis(AxisKind::Channels, c),
            ],
            _ => [
                whole_axis(AxisKind::Channels, a),
                whole_axis(AxisKind::Rows, b),
                whole_axis(AxisKind::Columns, c),
            ],
        };
        self.axes.insert(input.name(), [self.images.clone()].into_iter().chain(axes).collect());
    }

    /// The axes of an input, if they were traced.
    pub(super) fn input_axes(&self, node: &NodeProto, index: usize) -> Option<&Axes> {
        self.axes.get(node.input_name(index)?)
    }

    fn sizes(&self, tensor: &str) -> Option<&[i64]> {
        self.facts.get(tensor)
    }

    pub(super) fn input_sizes(&self, node: &NodeProto, index: usize) -> Option<&[i64]> {
        self.sizes(node.input_name(index)?)
    }

    /// The values of an integer input that does not depend on the image.
    pub(super) fn ints(&self, node: &NodeProto, index: usize) -> Option<Vec<i64>> {
        self.facts.known_int64s(self.graph_index, node.input_name(index)?)
    }

    /// Traces the outputs of a node. An integer operator is traced as its float equivalent.
    pub(super) fn add_node(&mut self, node: &'g NodeProto) {
        let equivalent = float_equivalent(node);
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let Some(sizes) = self.sizes(output) else { continue };
            let traced = self.output_axes(&equivalent, sizes);
            let Some(axes) = traced.filter(|axes| axes.len() == sizes.len()) else { continue };
            let drift = self.drift(node, &equivalent, &axes, sizes);
            if axes.iter().flatten().any(AxisFactor::is_spatial)
                && let Some(mover) = self.mover(node, &axes)
            {
                self.moved.insert(output, mover);
            }
            if let Some(drift) = drift {
                self.drifts.insert(output, drift);
            }
            self.axes.insert(output, axes);
        }
    }

    /// The node that may have moved the positions of a node's inputs, if there is one.
    fn mover(&self, node: &'g NodeProto, axes: &Axes) -> Option<&'g NodeProto> {
        let inherited = reads(node).find_map(|input| self.moved.get(input).copied());
        let is_untraced = |input: &&'g str| !self.axes.contains_key(input);
        inherited.or_else(|| {
            let equivalent = float_equivalent(node);
            if has_windows(&equivalent) {
                let input = node.input_name(0).filter(is_untraced)?;
                return untraced_at(self.graph_index, &self.axes, input);
            }
            // Weights between positions have rows and columns twice, and their bias is moved.
            let rows = axes.iter().flatten().filter(|factor| factor.kind == AxisKind::Rows).count();
            let is_combined = is_elementwise(&equivalent) || equivalent.op() == "Concat";
            if !is_combined || rows > 1 {
                return None;
            }
            // What was moved is combined with what was not.
            reads(node)
                .filter(is_untraced)
                .find_map(|input| moved_alone(self.graph_index, &self.axes, input))
        })
    }

    /// The axes of an output of these sizes.
    fn output_axes(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        match node.op() {
            _ if has_windows(node) => self.windows(node, sizes, true),
            // The region that a crop keeps is an input of its own.
            "Resize"
                if node.string("coordinate_transformation_mode", "") == "tf_crop_and_resize" =>
            {
                None
            }
            "Resize" | "DepthToSpace" | "SpaceToDepth" => self.windows(node, sizes, false),
            "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => self.pooled(node),
            "Transpose" => {
                let axes = self.input_axes(node, 0)?;
                let order = node.ints("perm").map_or_else(
                    || (0..axes.len() as i64).rev().collect::<Vec<_>>(),
                    <[i64]>::to_vec,
                );
                order.iter().map(|&axis| axes.get(usize::try_from(axis).ok()?).cloned()).collect()
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                regroup(self.input_axes(node, 0)?, sizes)
            }
            "MatMul" => self.matmul(node, sizes),
            "Gemm" if node.int("transA", 0) == 0 => Some(vec![
                self.input_axes(node, 0)?.first()?.clone(),
                whole_axis(AxisKind::Channels, *sizes.last()?),
            ]),
            "Concat" => self.concat(node, sizes),
            "Gather" => self.gather(node, sizes),
            "Slice" => self.slice(node, sizes),
            "Split" => self.split(node, sizes),
            "Expand" => self.expanded(node, sizes),
            "Pad" => self.padded(node, sizes),
            op if op.starts_with("Reduce") => self.reduced(node),
            op if op.ends_with("Normalization") || op.ends_with("QuantizeLinear") => {
                self.broadcast(node, sizes)
            }
            "Dropout" | "LRN" | "LogSoftmax" | "Softmax" => self.broadcast(node, sizes),
            _ if is_elementwise(node) => self.broadcast(node, sizes),
            _ => None,
        }
    }

    /// The rows of the first matrix and the columns of the second; the summed axis is removed.
    fn matmul(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let first = self.input_axes(node, 0)?;
        let rank = sizes.len();
        if first.len() != rank {
            return None;
        }
        let columns = match self.input_axes(node, 1).and_then(|second| second.last()) {
            Some(columns) => columns.clone(),
            None => whole_axis(AxisKind::Channels, sizes[rank - 1]),
        };
        Some(first[..rank - 1].iter().cloned().chain([columns]).collect())
    }

    /// Channels are concatenated; tokens get further tokens before and after them.
    fn concat(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let axis = normalized(node.int("axis", 0), sizes.len())?;
        let traced: Vec<(usize, &Axes)> = (0..node.input.len())
            .filter_map(|index| {
                let axes = self.input_axes(node, index)?;
                (axes.len() == sizes.len()).then_some((index, axes))
            })
            .collect();
        let mut axes = traced.first()?.1.clone();
        let all_agree =
            |other: usize| traced.iter().all(|(_, input)| agree(&axes[other], &input[other]));
        if !(0..axes.len()).all(|other| other == axis || all_agree(other)) {
            return None;
        }
        let spatial: Vec<&(usize, &Axes)> = (traced.iter())
            .filter(|(_, axes)| axes[axis].iter().any(AxisFactor::is_spatial))
            .collect();
        axes[axis] = match spatial.as_slice() {
            [] if traced.iter().all(|(_, axes)| is_channels(&axes[axis])) => {
                whole_axis(AxisKind::Channels, sizes[axis])
            }
            [(index, input)] => {
                axes = (*input).clone();
                let inner = token_grid(&input[axis])?;
                let before: Option<i64> =
                    (0..*index).map(|other| Some(self.input_sizes(node, other)?[axis])).sum();
                let skip = inner.skip + usize::try_from(before?).ok()?;
                let tokens = AxisKind::Tokens(Tokens { skip, ..inner });
                vec![AxisFactor::whole(tokens, sizes[axis])]
            }
            _ => return None,
        };
        Some(axes)
    }

    /// One index of an axis, which is then removed, or some of the channels.
    fn gather(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let mut axes = self.input_axes(node, 0)?.clone();
        let axis = normalized(node.int("axis", 0), axes.len())?;
        match self.input_sizes(node, 1)? {
            [] => {
                axes.get(axis)?;
                axes.remove(axis);
            }
            [_] if is_channels(axes.get(axis)?) => {
                axes[axis] = whole_axis(AxisKind::Channels, sizes[axis]);
            }
            [1] => axes[axis].clear(),
            _ => return None,
        }
        Some(axes)
    }

    /// Some of the channels, every n-th row or column, or the tokens after the first ones.
    fn slice(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let (mut axes, whole) = (self.input_axes(node, 0)?.clone(), self.input_sizes(node, 0)?);
        let Some(starts) = self.ints(node, 1) else {
            return self.part_of_channels(node, axes, sizes);
        };
        let named = match node.input_name(3) {
            Some(_) => self.ints(node, 3)?,
            None => (0..starts.len() as i64).collect(),
        };
        let steps = match node.input_name(4) {
            Some(_) => self.ints(node, 4)?,
            None => vec![1; starts.len()],
        };
        for ((&start, &axis), &step) in starts.iter().zip(&named).zip(&steps) {
            let axis = normalized(axis, whole.len())?;
            let (from, to) = (*whole.get(axis)?, *sizes.get(axis)?);
            if from == to && step > 0 {
                continue;
            }
            let start = if start < 0 { start + from } else { start };
            axes[axis] = match axes[axis].as_slice() {
                _ if is_channels(&axes[axis]) => whole_axis(AxisKind::Channels, to),
                [factor] if matches!(factor.kind, AxisKind::Rows | AxisKind::Columns) => {
                    // Every `step`-th row or column from one of the first on is a coarser grid.
                    let is_coarser =
                        step > 1 && start < step && to == (from - start + step - 1) / step;
                    let is_trimmed = step == 1 && self.is_trimming(node, start, from - start - to);
                    (factor.is_whole() && (is_coarser || is_trimmed))
                        .then(|| whole_axis(factor.kind, to))?
                }
                _ if to == 1 => Axis::new(),
                _ if step == 1 => {
                    let tokens = token_grid(&axes[axis])?;
                    let skip = tokens.skip.checked_sub(usize::try_from(start).ok()?)?;
                    let remaining = Tokens { skip, ..tokens };
                    tokens_axis(remaining, to)?
                }
                _ => return None,
            };
        }
        Some(axes)
    }

    /// The axes after a slice whose start is computed, as `chunk` has it in some exports: what kept
    /// its size is whole.
    fn part_of_channels(&self, node: &NodeProto, mut axes: Axes, sizes: &[i64]) -> Option<Axes> {
        let is_forward = match node.input_name(4) {
            Some(_) => self.ints(node, 4)?.iter().all(|&step| step > 0),
            None => true,
        };
        let whole = self.input_sizes(node, 0).filter(|_| is_forward)?;
        for ((axis, &from), &to) in axes.iter_mut().zip(whole).zip(sizes) {
            if from != to {
                *axis = match token_grid(axis) {
                    _ if is_channels(axis) => whole_axis(AxisKind::Channels, to),
                    // All positions, after the tokens that have none.
                    Some(tokens) => tokens_axis(Tokens { skip: 0, ..tokens }, to)
                        .filter(|axis| axis.len() == 2)?,
                    None => return None,
                };
            }
        }
        Some(axes)
    }

    /// Axes that were repeated hold no positions of their own.
    fn expanded(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let (mut axes, own) = (self.input_axes(node, 0)?.clone(), self.input_sizes(node, 0)?);
        for ((axis, &from), &to) in axes.iter_mut().zip(own).zip(sizes) {
            if from != to {
                *axis = whole_axis(AxisKind::Channels, to);
            }
        }
        Some(axes)
    }

    /// A reduced axis is removed, or has size 1.
    fn reduced(&self, node: &NodeProto) -> Option<Axes> {
        let mut axes = self.input_axes(node, 0)?.clone();
        let rank = axes.len() as i64;
        let reduced = match node.input_name(1) {
            Some(_) => self.ints(node, 1)?,
            None => (0..rank).collect(),
        };
        let mut reduced: Vec<i64> =
            reduced.into_iter().map(|axis| if axis < 0 { axis + rank } else { axis }).collect();
        reduced.sort_unstable_by(|a, b| b.cmp(a));
        for axis in reduced {
            let axis = usize::try_from(axis).ok().filter(|&axis| axis < axes.len())?;
            match node.int("keepdims", 1) {
                0 => drop(axes.remove(axis)),
                _ => axes[axis].clear(),
            }
        }
        Some(axes)
    }

    /// A split of channels; a split of anything else is not traced.
    fn split(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let (mut axes, whole) = (self.input_axes(node, 0)?.clone(), self.input_sizes(node, 0)?);
        for (axis, (&from, &to)) in axes.iter_mut().zip(whole.iter().zip(sizes)) {
            if from != to {
                if !is_channels(axis) {
                    return None;
                }
                *axis = whole_axis(AxisKind::Channels, to);
            }
        }
        Some(axes)
    }

    /// The axes of the broadcast inputs, if the traced ones agree.
    fn broadcast(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let mut result: Vec<Option<Axis>> =
            sizes.iter().map(|&size| (size == 1).then(Axis::new)).collect();
        for index in 0..node.input.len() {
            let (Some(axes), Some(own)) =
                (self.input_axes(node, index), self.input_sizes(node, index))
            else {
                continue;
            };
            let offset = sizes.len().checked_sub(axes.len())?;
            for (position, axis) in
                axes.iter().enumerate().filter(|&(position, _)| own[position] != 1)
            {
                match &mut result[offset + position] {
                    Some(known) if !agree(known, axis) => return None,
                    Some(_) => {}
                    empty @ None => *empty = Some(axis.clone()),
                }
            }
        }
        result.into_iter().collect()
    }
}

/// The axis of so many tokens: the rows and columns of the grid, where there are no others.
fn tokens_axis(tokens: Tokens, count: i64) -> Option<Axis> {
    let [rows, columns] = tokens.grid.map(|size| size as i64);
    if tokens.skip == 0 && rows * columns == count && rows > 1 && columns > 1 {
        return Some(vec![
            AxisFactor::whole(AxisKind::Rows, rows),
            AxisFactor::whole(AxisKind::Columns, columns),
        ]);
    }
    let fits = tokens.fits(usize::try_from(count).ok()?);
    fits.then(|| vec![AxisFactor::whole(AxisKind::Tokens(tokens), count)])
}

/// The index of an axis that may be counted from the end; `None` when there is no such axis.
pub(super) fn normalized(axis: i64, rank: usize) -> Option<usize> {
    let index = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    index.filter(|&axis| axis < rank)
}
