//! What the axes of every tensor stand for, traced from the image through the graph.
//!
//! A convolution keeps rows and columns as axes of their own. Transformers flatten
//! them into tokens, put class tokens before them, cut them into windows and put
//! them together again, and move the channels to the end; sizes alone do not tell
//! 64 windows of 49 places from a map of 64×49. So an axis is a list of [`Part`]s,
//! the most significant first, which reshaping splits and joins and transposing
//! moves. An operator that may mix places, or that this module does not know, leaves
//! its result untraced; a residual sum with a traced tensor is traced again.

use std::collections::HashMap;

use super::layout::{Layout, Tokens};
use crate::graph::probe::Shapes;
use crate::graph::proto::{GraphProto, NodeProto};
use crate::graph::topology::Topology;

/// What a part of an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Images,
    Rows,
    Columns,
    /// Anything that is learned: channels, heads, classes.
    Channels,
    /// Places of a grid row by row, with other tokens before or behind them.
    Tokens(Tokens),
}

/// A part of an axis: `size` steps of `stride` through something of `whole` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    of: Of,
    size: i64,
    stride: i64,
    whole: i64,
}

impl Part {
    /// All of something.
    fn all(of: Of, size: i64) -> Self {
        Self { of, size, stride: 1, whole: size }
    }

    /// Two parts as one, when the second goes on where a step of the first ends.
    fn joined(self, next: Self) -> Option<Self> {
        let same = self.of == next.of && !matches!(self.of, Of::Tokens(_));
        if same && self.of == Of::Channels {
            return Some(Self::all(Of::Channels, self.size * next.size));
        }
        let adjoins = same && self.whole == next.whole && self.stride == next.stride * next.size;
        adjoins.then_some(Self { size: self.size * next.size, stride: next.stride, ..self })
    }

    /// The first `count` steps of coarser size, and what is left within each.
    fn split(self, count: i64) -> Option<(Self, Self)> {
        if matches!(self.of, Of::Tokens(_)) || self.size % count != 0 {
            return None;
        }
        let rest = self.size / count;
        let coarse = Self { size: count, stride: self.stride * rest, ..self };
        Some((coarse, Self { size: rest, ..self }))
    }

    /// True for all of something, or for its most significant part: a coarser grid of the same.
    fn is_whole(&self) -> bool {
        self.size * self.stride == self.whole
    }

    /// True for what says where in the image something is.
    fn is_place(&self) -> bool {
        matches!(self.of, Of::Rows | Of::Columns | Of::Tokens(_))
    }
}

type Axis = Vec<Part>;
type Axes = Vec<Axis>;

fn all(of: Of, size: i64) -> Axis {
    if size == 1 { Vec::new() } else { vec![Part::all(of, size)] }
}

/// The axes of the tensors that could be traced.
#[derive(Debug)]
pub struct Traced<'g> {
    axes: HashMap<&'g str, Axes>,
    images: Axis,
}

/// Traces a graph from its image input on, whose layout is [`Layout::Maps`] or [`Layout::ChannelsLast`].
#[must_use]
pub fn trace<'g>(topology: &Topology<'g>, shapes: &Shapes, image: Layout) -> Traced<'g> {
    let mut tracer = Tracer { topology, shapes, axes: HashMap::new(), images: Vec::new() };
    tracer.input(topology.graph, image);
    for node in topology.graph.node.iter().filter(|node| node.is_standard()) {
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
            [_, c, h, w] if channels(c) && is(h, Of::Rows) && is(w, Of::Columns) => Some(Layout::Maps),
            [_, h, w, c] if channels(c) && is(h, Of::Rows) && is(w, Of::Columns) => {
                Some(Layout::ChannelsLast)
            }
            [_, tokens, c] if channels(c) => places(tokens).map(Layout::Tokens),
            _ => None,
        }
    }

    /// False when this node hands on what stands at each place and no more: after it, what is said of one
    /// place still comes from that place alone. `None` for nodes that see no place.
    #[must_use]
    pub fn mixes(&self, node: &NodeProto, reads: impl Fn(&str) -> bool) -> Option<bool> {
        let has_place = |axis: &Axis| axis.iter().any(Part::is_place);
        let seen = |index: usize| {
            let name = node.input_name(index).filter(|name| reads(name))?;
            self.axes.get(name).filter(|axes| axes.iter().any(has_place))
        };
        if !(0..node.input.len()).any(|index| seen(index).is_some()) {
            return None;
        }
        let along = |axes: &Axes, back: usize| axes.len() >= back && has_place(&axes[axes.len() - back]);
        Some(match node.op() {
            "Gather" | "GatherND" | "GatherElements" | "Slice" | "Split" | "Shape" => false,
            "MatMul" | "Gemm" => {
                seen(0).is_some_and(|axes| along(axes, 1)) || seen(1).is_some_and(|axes| along(axes, 2))
            }
            "Softmax" => seen(0).is_some_and(|axes| along(axes, 1)),
            _ => node.output.first().is_some_and(|output| {
                self.axes.get(output.as_str()).is_none_or(|axes| !axes.iter().any(has_place))
            }),
        })
    }
}

/// The places that an axis of tokens holds, when it holds all of a grid.
fn places(axis: &Axis) -> Option<Tokens> {
    match axis.as_slice() {
        [Part { of: Of::Tokens(tokens), .. }] => Some(*tokens),
        [rows, columns]
            if rows.of == Of::Rows && columns.of == Of::Columns && rows.is_whole() && columns.is_whole() =>
        {
            let size = |part: &Part| usize::try_from(part.size).ok();
            Some(Tokens { skip: 0, grid: [size(rows)?, size(columns)?] })
        }
        _ => None,
    }
}

/// Cuts the same numbers into axes of other sizes.
fn regroup(axes: &Axes, sizes: &[i64]) -> Option<Axes> {
    let mut parts: Vec<Part> = axes.iter().flatten().rev().copied().collect();
    let mut found = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let (mut axis, mut need) = (Axis::new(), size);
        while need > 1 {
            let part = parts.pop()?;
            let taken = if need % part.size == 0 {
                part
            } else {
                let (coarse, rest) = part.split(need)?;
                parts.push(rest);
                coarse
            };
            need /= taken.size;
            match axis.last_mut().and_then(|last| last.joined(taken).map(|joined| (last, joined))) {
                Some((last, joined)) => *last = joined,
                None => axis.push(taken),
            }
        }
        found.push(axis);
    }
    parts.is_empty().then_some(found)
}

struct Tracer<'t, 'g> {
    topology: &'t Topology<'g>,
    shapes: &'t Shapes,
    axes: HashMap<&'g str, Axes>,
    images: Axis,
}

impl<'g> Tracer<'_, 'g> {
    fn input(&mut self, graph: &'g GraphProto, image: Layout) {
        let Some(input) = graph.input.first() else { return };
        let Some(&[n, a, b, c]) = self.shapes.get(input.name()) else { return };
        self.images = all(Of::Images, n);
        let axes = match image {
            Layout::ChannelsLast => [all(Of::Rows, a), all(Of::Columns, b), all(Of::Channels, c)],
            _ => [all(Of::Channels, a), all(Of::Rows, b), all(Of::Columns, c)],
        };
        self.axes.insert(input.name(), [self.images.clone()].into_iter().chain(axes).collect());
    }

    fn of(&self, node: &NodeProto, index: usize) -> Option<&Axes> {
        self.axes.get(node.input_name(index)?)
    }

    fn sizes(&self, tensor: &str) -> Option<&[i64]> {
        self.shapes.get(tensor)
    }

    fn input_sizes(&self, node: &NodeProto, index: usize) -> Option<&[i64]> {
        self.sizes(node.input_name(index)?)
    }

    fn ints(&self, node: &NodeProto, index: usize) -> Option<Vec<i64>> {
        let name = node.input_name(index)?;
        let constant = self.topology.constant(name).and_then(|tensor| tensor.to_int64s());
        constant.or_else(|| self.shapes.value(name).map(<[i64]>::to_vec))
    }

    fn node(&mut self, node: &'g NodeProto) {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let Some(sizes) = self.sizes(output) else { continue };
            if let Some(axes) = self.output(node, sizes).filter(|axes| axes.len() == sizes.len()) {
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
                let order = node
                    .ints("perm")
                    .map_or_else(|| (0..axes.len() as i64).rev().collect::<Vec<_>>(), <[i64]>::to_vec);
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
            "Pad" | "Expand" if self.input_sizes(node, 0) == Some(sizes) => self.of(node, 0).cloned(),
            op if op.starts_with("Reduce") => self.reduced(node),
            op if ELEMENTWISE.contains(&op) => self.vote(node, sizes),
            _ => None,
        }
    }

    /// Sliding windows over maps make maps. `bold`: what slides over an untraced tensor makes maps, too.
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
            .filter_map(|index| Some((index, self.of(node, index).filter(|a| a.len() == sizes.len())?)))
            .collect();
        let mut axes = traced.first()?.1.clone();
        let agree = |place: usize| traced.iter().all(|(_, other)| agrees(&axes[place], &other[place]));
        if !(0..axes.len()).all(|place| place == axis || agree(place)) {
            return None;
        }
        let with_places: Vec<&(usize, &Axes)> =
            traced.iter().filter(|(_, axes)| axes[axis].iter().any(Part::is_place)).collect();
        axes[axis] = match with_places.as_slice() {
            [] if traced.iter().all(|(_, axes)| axes[axis].iter().all(|p| p.of == Of::Channels)) => {
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
            let axis = usize::try_from(if axis < 0 { axis + whole.len() as i64 } else { axis }).ok()?;
            let (from, to) = (*whole.get(axis)?, *sizes.get(axis)?);
            if from == to && step > 0 {
                continue;
            }
            let start = if start < 0 { start + from } else { start };
            axes[axis] = match axes[axis].as_slice() {
                parts if parts.iter().all(|part| part.of == Of::Channels) => all(Of::Channels, to),
                [part] if matches!(part.of, Of::Rows | Of::Columns) => {
                    // Every `step`-th from the first or another one on: a coarser grid.
                    (part.is_whole() && step > 1 && start < step && to == (from - start + step - 1) / step)
                        .then(|| all(part.of, to))?
                }
                _ if to == 1 => Axis::new(),
                _ if step == 1 => {
                    let tokens = places(&axes[axis])?;
                    let skip = tokens.skip.checked_sub(usize::try_from(start).ok()?)?;
                    let kept = Tokens { skip, ..tokens };
                    kept.fits(usize::try_from(to).ok()?).then(|| vec![Part::all(Of::Tokens(kept), to)])?
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
        let mut found: Vec<Option<Axis>> = sizes.iter().map(|&size| (size == 1).then(Axis::new)).collect();
        for index in 0..node.input.len() {
            let (Some(axes), Some(own)) = (self.of(node, index), self.input_sizes(node, index)) else {
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

/// Two accounts of one axis: the same, or channels in both.
fn agrees(a: &Axis, b: &Axis) -> bool {
    let channels = |axis: &Axis| axis.iter().all(|part| part.of == Of::Channels);
    a == b || (channels(a) && channels(b))
}

/// Operators that give a number for each number, at the same place.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Add",
    "BatchNormalization",
    "Cast",
    "Celu",
    "Clip",
    "Cos",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Max",
    "Mean",
    "MeanVarianceNormalization",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
    "Where",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::{AttributeProto, TensorProto, ValueInfoProto};

    /// Layouts of the tensors that these nodes make, for two images `[2, 3, 8, 12]`.
    fn layouts(nodes: Vec<(NodeProto, &[i64])>) -> Vec<Option<Layout>> {
        let mut graph = GraphProto { input: vec![ValueInfoProto::untyped("x")], ..Default::default() };
        let mut sizes = vec![("x".to_owned(), vec![2, 3, 8, 12]), ("class".to_owned(), vec![2, 1, 16])];
        for (node, shape) in nodes {
            sizes.push((node.output[0].clone(), shape.to_vec()));
            graph.node.push(node);
        }
        for (name, values) in [("one", 1), ("all", i64::MAX), ("axis", 1), ("three", 3)] {
            graph.initializer.push(TensorProto::int64(name, &[1], &[values]));
        }
        let shapes: Shapes = sizes.into_iter().collect();
        let topology = Topology::new(&graph);
        let traced = trace(&topology, &shapes, Layout::Maps);
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
            (node("Concat", &["class", "tokens"], "with").with(AttributeProto::int("axis", 1)), &[2, 7, 16]),
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
