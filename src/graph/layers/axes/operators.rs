//! What each operator does to the axes of what it reads.
//!
//! To trace through an operator that is not listed, give it an arm in [`Tracer::output`]; an
//! answer must be right or none, since maps are read by it.

use std::collections::HashMap;

use super::part::{Axes, Axis, Of, Part, agrees, all, places, regroup};
use crate::graph::layers::layout::{Layout, Tokens};
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{GraphProto, NodeProto};
use onnx_gradient::quantized::float_equivalent;

/// What is traced so far.
pub(super) struct Tracer<'t, 'g> {
    graph_index: &'t GraphIndex<'g>,
    shapes: &'t TensorFacts,
    /// The axes of the tensors that could be traced.
    pub(super) axes: HashMap<&'g str, Axes>,
    /// The first axis of the input.
    pub(super) images: Axis,
}

impl<'t, 'g> Tracer<'t, 'g> {
    pub(super) fn new(graph_index: &'t GraphIndex<'g>, shapes: &'t TensorFacts) -> Self {
        Self { graph_index, shapes, axes: HashMap::new(), images: Vec::new() }
    }

    /// Begins with the graph's image input.
    pub(super) fn input(&mut self, graph: &'g GraphProto, image: Layout) {
        let Some(input) = graph.input.first() else { return };
        let Some(&[n, a, b, c]) = self.shapes.get(input.name()) else { return };
        self.images = all(Of::Images, n);
        let axes = match image {
            Layout::ChannelsLast => [all(Of::Rows, a), all(Of::Columns, b), all(Of::Channels, c)],
            _ => [all(Of::Channels, a), all(Of::Rows, b), all(Of::Columns, c)],
        };
        self.axes.insert(input.name(), [self.images.clone()].into_iter().chain(axes).collect());
    }

    /// The axes of an input, where they are known.
    fn of(&self, node: &NodeProto, index: usize) -> Option<&Axes> {
        self.axes.get(node.input_name(index)?)
    }

    fn sizes(&self, tensor: &str) -> Option<&[i64]> {
        self.shapes.get(tensor)
    }

    fn input_sizes(&self, node: &NodeProto, index: usize) -> Option<&[i64]> {
        self.sizes(node.input_name(index)?)
    }

    /// An input of integers that does not depend on the image.
    fn ints(&self, node: &NodeProto, index: usize) -> Option<Vec<i64>> {
        self.shapes.known_int64s(self.graph_index, node.input_name(index)?)
    }

    /// Traces what a node makes of tensors that are traced.
    pub(super) fn node(&mut self, node: &'g NodeProto) {
        let meant = float_equivalent(node);
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let Some(sizes) = self.sizes(output) else { continue };
            if let Some(axes) = self.output(&meant, sizes).filter(|axes| axes.len() == sizes.len())
            {
                self.axes.insert(output, axes);
            }
        }
    }

    /// The axes of an output of these sizes.
    fn output(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        match node.op() {
            "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" | "LpPool" => {
                self.windows(node, sizes, true)
            }
            "Resize" | "DepthToSpace" | "SpaceToDepth" => self.windows(node, sizes, false),
            "Transpose" => {
                let axes = self.of(node, 0)?;
                let order = node.ints("perm").map_or_else(
                    || (0..axes.len() as i64).rev().collect::<Vec<_>>(),
                    <[i64]>::to_vec,
                );
                order.iter().map(|&axis| axes.get(usize::try_from(axis).ok()?).cloned()).collect()
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => regroup(self.of(node, 0)?, sizes),
            "MatMul" => self.matmul(node, sizes),
            "Gemm" if node.int("transA", 0) == 0 => {
                Some(vec![self.of(node, 0)?.first()?.clone(), all(Of::Channels, *sizes.last()?)])
            }
            "Concat" => self.concat(node, sizes),
            "Gather" => self.gather(node, sizes),
            "Slice" => self.slice(node, sizes),
            "Split" => self.only_channels_changed(node, sizes),
            "Pad" | "Expand" if self.input_sizes(node, 0) == Some(sizes) => {
                self.of(node, 0).cloned()
            }
            op if op.starts_with("Reduce") => self.reduced(node),
            // A number for each number, at the same place.
            op if op.ends_with("Normalization") || op.ends_with("QuantizeLinear") => {
                self.vote(node, sizes)
            }
            "Abs" | "Add" | "Cast" | "Celu" | "Clip" | "Cos" | "DequantizeLinear" | "Div"
            | "Dropout" | "Elu" | "Erf" | "Exp" | "Gelu" | "HardSigmoid" | "HardSwish"
            | "Identity" | "LRN" | "LeakyRelu" | "Log" | "LogSoftmax" | "Max" | "Mean" | "Min"
            | "Mish" | "Mul" | "Neg" | "PRelu" | "Pow" | "Reciprocal" | "Relu" | "Selu"
            | "Sigmoid" | "Sin" | "Softmax" | "Softplus" | "Softsign" | "Sqrt" | "Sub" | "Sum"
            | "Swish" | "Tanh" | "ThresholdedRelu" | "Where" => self.vote(node, sizes),
            _ => None,
        }
    }

    /// Sliding windows over maps make maps. `bold`: what slides over an untraced tensor makes maps,
    /// too.
    fn windows(&self, node: &NodeProto, sizes: &[i64], bold: bool) -> Option<Axes> {
        let &[n, c, h, w] = sizes else { return None };
        let images = match self.of(node, 0).map(Vec::as_slice) {
            Some([images, _, h, w]) => {
                let of = |axis: &Axis, of: Of| axis.iter().all(|part| part.of == of);
                (of(h, Of::Rows) && of(w, Of::Columns)).then(|| images.clone())?
            }
            Some(_) => return None,
            None => (bold && n == self.images.iter().map(|part| part.size).product::<i64>())
                .then(|| self.images.clone())?,
        };
        Some(vec![images, all(Of::Channels, c), all(Of::Rows, h), all(Of::Columns, w)])
    }

    /// Rows of the first, columns of the second; what is summed over is gone.
    fn matmul(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let first = self.of(node, 0)?;
        let rank = sizes.len();
        if first.len() != rank {
            return None;
        }
        let columns = match self.of(node, 1).and_then(|second| second.last()) {
            Some(columns) => columns.clone(),
            None => all(Of::Channels, sizes[rank - 1]),
        };
        Some(first[..rank - 1].iter().cloned().chain([columns]).collect())
    }

    /// Tokens get others before and behind them; channels more channels.
    fn concat(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let rank = sizes.len() as i64;
        let axis = node.int("axis", 0);
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
        let traced: Vec<(usize, &Axes)> = (0..node.input.len())
            .filter_map(|index| {
                Some((index, self.of(node, index).filter(|a| a.len() == sizes.len())?))
            })
            .collect();
        let mut axes = traced.first()?.1.clone();
        let agree =
            |place: usize| traced.iter().all(|(_, other)| agrees(&axes[place], &other[place]));
        if !(0..axes.len()).all(|place| place == axis || agree(place)) {
            return None;
        }
        let with_places: Vec<&(usize, &Axes)> =
            traced.iter().filter(|(_, axes)| axes[axis].iter().any(Part::is_place)).collect();
        axes[axis] = match with_places.as_slice() {
            [] if traced
                .iter()
                .all(|(_, axes)| axes[axis].iter().all(|p| p.of == Of::Channels)) =>
            {
                all(Of::Channels, sizes[axis])
            }
            [(index, with_places)] => {
                axes = (*with_places).clone();
                let inner = places(&with_places[axis])?;
                let before: Option<i64> =
                    (0..*index).map(|other| Some(self.input_sizes(node, other)?[axis])).sum();
                let skip = inner.skip + usize::try_from(before?).ok()?;
                vec![Part::all(Of::Tokens(Tokens { skip, ..inner }), sizes[axis])]
            }
            _ => return None,
        };
        Some(axes)
    }

    /// One place of an axis, which is gone then, or several channels.
    fn gather(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let axes = self.of(node, 0)?;
        let axis = node.int("axis", 0);
        let axis = usize::try_from(if axis < 0 { axis + axes.len() as i64 } else { axis }).ok()?;
        let mut found = axes.clone();
        let taken = found.get_mut(axis)?;
        match self.input_sizes(node, 1)? {
            [] => {
                found.remove(axis);
            }
            [_] if taken.iter().all(|part| part.of == Of::Channels) => {
                *taken = all(Of::Channels, sizes[axis]);
            }
            [1] => taken.clear(),
            _ => return None,
        }
        Some(found)
    }

    /// Some of the channels, every second row or column, or the tokens behind the first ones.
    fn slice(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let (mut axes, whole) = (self.of(node, 0)?.clone(), self.input_sizes(node, 0)?);
        let starts = self.ints(node, 1)?;
        let named = match node.input_name(3) {
            Some(_) => self.ints(node, 3)?,
            None => (0..starts.len() as i64).collect(),
        };
        let steps = match node.input_name(4) {
            Some(_) => self.ints(node, 4)?,
            None => vec![1; starts.len()],
        };
        for ((&start, &axis), &step) in starts.iter().zip(&named).zip(&steps) {
            let axis =
                usize::try_from(if axis < 0 { axis + whole.len() as i64 } else { axis }).ok()?;
            let (from, to) = (*whole.get(axis)?, *sizes.get(axis)?);
            if from == to && step > 0 {
                continue;
            }
            let start = if start < 0 { start + from } else { start };
            axes[axis] = match axes[axis].as_slice() {
                parts if parts.iter().all(|part| part.of == Of::Channels) => all(Of::Channels, to),
                [part] if matches!(part.of, Of::Rows | Of::Columns) => {
                    // Every `step`-th from the first or another one on: a coarser grid.
                    (part.is_whole()
                        && step > 1
                        && start < step
                        && to == (from - start + step - 1) / step)
                        .then(|| all(part.of, to))?
                }
                _ if to == 1 => Axis::new(),
                _ if step == 1 => {
                    let tokens = places(&axes[axis])?;
                    let skip = tokens.skip.checked_sub(usize::try_from(start).ok()?)?;
                    let kept = Tokens { skip, ..tokens };
                    kept.fits(usize::try_from(to).ok()?)
                        .then(|| vec![Part::all(Of::Tokens(kept), to)])?
                }
                _ => return None,
            };
        }
        Some(axes)
    }

    /// What is reduced counts nothing any more.
    fn reduced(&self, node: &NodeProto) -> Option<Axes> {
        let mut axes = self.of(node, 0)?.clone();
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

    /// A part of an axis of channels.
    fn only_channels_changed(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let (mut axes, whole) = (self.of(node, 0)?.clone(), self.input_sizes(node, 0)?);
        for (axis, (&from, &to)) in axes.iter_mut().zip(whole.iter().zip(sizes)) {
            if from != to {
                if !axis.iter().all(|part| part.of == Of::Channels) {
                    return None;
                }
                *axis = all(Of::Channels, to);
            }
        }
        Some(axes)
    }

    /// Number by number, broadcast: what the traced inputs say of each axis, if they agree.
    fn vote(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let mut found: Vec<Option<Axis>> =
            sizes.iter().map(|&size| (size == 1).then(Axis::new)).collect();
        for index in 0..node.input.len() {
            let (Some(axes), Some(own)) = (self.of(node, index), self.input_sizes(node, index))
            else {
                continue;
            };
            let offset = sizes.len().checked_sub(axes.len())?;
            for (place, axis) in axes.iter().enumerate().filter(|&(place, _)| own[place] != 1) {
                match &mut found[offset + place] {
                    Some(known) if !agrees(known, axis) => return None,
                    Some(_) => {}
                    empty @ None => *empty = Some(axis.clone()),
                }
            }
        }
        found.into_iter().collect()
    }
}
