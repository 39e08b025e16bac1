//! What operators with sliding windows, and the padding before them, do to rows and columns.

use super::axis_factor::{Axes, Axis, AxisFactor, AxisKind, is_channels, token_grid, whole_axis};
use super::operators::{Tracer, normalized};
use crate::graph::layers::tokens::Tokens;
use onnx_gradient::proto::NodeProto;
use onnx_gradient::quantized::float_equivalent;

/// As many rows or columns at an edge may be added or removed without a change of the map that
/// anyone would see: what frameworks pad and trim where a convolution's size is odd.
const NEGLIGIBLE: i64 = 1;

/// True for an operator whose windows slide over maps.
pub(super) fn has_windows(node: &NodeProto) -> bool {
    matches!(node.op(), "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" | "LpPool")
}

/// An axis of this kind after windows have slid along it. A part of an axis, such as the rows within
/// a window of an attention, stays one if its size stays.
fn slid(axis: &Axis, kind: AxisKind, size: i64) -> Option<Axis> {
    match axis.as_slice() {
        [] => Some(whole_axis(kind, size)),
        [factor] if factor.kind == kind && factor.is_whole() => Some(whole_axis(kind, size)),
        [factor] if factor.kind == kind && factor.size == size => Some(axis.clone()),
        _ => None,
    }
}

impl Tracer<'_, '_> {
    /// An operator with sliding windows turns maps into maps, also those of columns and rows. With
    /// `assume_maps`, an input that was not traced counts as maps, too.
    pub(super) fn windows(
        &self,
        node: &NodeProto,
        sizes: &[i64],
        assume_maps: bool,
    ) -> Option<Axes> {
        let &[n, c, h, w] = sizes else { return None };
        let (rows, columns) = (AxisKind::Rows, AxisKind::Columns);
        let channels = whole_axis(AxisKind::Channels, c);
        match self.input_axes(node, 0).map(Vec::as_slice) {
            Some([images, _, first, second]) => {
                if (2..4).any(|axis| self.moves(node, axis)) {
                    return None;
                }
                let of = |[a, b]: [AxisKind; 2]| Some([slid(first, a, h)?, slid(second, b, w)?]);
                let [first, second] = of([rows, columns]).or_else(|| of([columns, rows]))?;
                Some(vec![images.clone(), channels, first, second])
            }
            Some(_) => None,
            None => {
                let batch = self.images.iter().map(|factor| factor.size).product::<i64>();
                let is_assumed = assume_maps && n == batch;
                let images = is_assumed.then(|| self.images.clone())?;
                Some(vec![images, channels, whole_axis(rows, h), whole_axis(columns, w)])
            }
        }
    }

    /// True if the padding of an operator with windows moves an axis: it is longer at one end than
    /// at the other, or wider than the windows, whose results would then lie outside the image.
    fn moves(&self, node: &NodeProto, axis: usize) -> bool {
        let Some([before, after]) = node.ints("pads").and_then(|pads| {
            let half = pads.len() / 2;
            Some([*pads.get(axis - 2)?, *pads.get(half + axis - 2)?])
        }) else {
            return false;
        };
        let extent = self.extent(node, axis).unwrap_or(i64::MAX);
        let is_spanned = before.max(after) < extent.max(1 + NEGLIGIBLE);
        (before - after).abs() > NEGLIGIBLE || !is_spanned
    }

    /// A global pooling leaves one position.
    pub(super) fn pooled(&self, node: &NodeProto) -> Option<Axes> {
        let axes = self.input_axes(node, 0)?.iter().take(2).cloned();
        let rank = self.input_sizes(node, 0)?.len();
        Some(axes.chain(std::iter::repeat_n(Axis::new(), rank.saturating_sub(2))).collect())
    }

    /// Rows and columns with a border: more of them at the same places, as long as the border is
    /// the padding of the windows that read it. A wider one moves the image within the map.
    pub(super) fn padded(&self, node: &NodeProto, sizes: &[i64]) -> Option<Axes> {
        let mut axes = self.input_axes(node, 0)?.clone();
        for (axis, [before, after]) in self.borders(node, sizes)? {
            if [before, after] == [0, 0] {
                continue;
            }
            let is_small = before.abs().max(after.abs()) <= NEGLIGIBLE;
            let whole = *sizes.get(axis)?;
            // Tokens before and after the positions of a grid, such as a place for the class token.
            if let Some(tokens) = token_grid(axes.get(axis)?).filter(|_| before >= 0 && after >= 0)
            {
                let skip = tokens.skip + usize::try_from(before).ok()?;
                let kind = AxisKind::Tokens(Tokens { skip, ..tokens });
                axes[axis] = vec![AxisFactor::whole(kind, whole)];
                continue;
            }
            let kind = match axes.get(axis)?.as_slice() {
                _ if is_channels(&axes[axis]) => AxisKind::Channels,
                [factor]
                    if matches!(factor.kind, AxisKind::Rows | AxisKind::Columns)
                        && factor.is_whole()
                        && (is_small || (before - after).abs() <= NEGLIGIBLE)
                        && self.is_spanned(node, axis, before.abs().max(after.abs())) =>
                {
                    factor.kind
                }
                _ => return None,
            };
            axes[axis] = whole_axis(kind, whole);
        }
        Some(axes)
    }

    /// The axes that a `Pad` makes longer, and by how much at each end.
    fn borders(&self, node: &NodeProto, sizes: &[i64]) -> Option<Vec<(usize, [i64; 2])>> {
        let whole = self.input_sizes(node, 0)?;
        let pads = match node.input_name(1) {
            Some(_) => self.ints(node, 1),
            None => node.ints("pads").map(<[i64]>::to_vec),
        };
        let Some(pads) = pads else {
            // Computed from the image's size, as for the SAME padding of TensorFlow: half at each
            // end, and what is odd behind.
            let halves = whole.iter().zip(sizes).map(|(before, after)| {
                let more = after - before;
                [more / 2, more - more / 2]
            });
            return Some(halves.enumerate().collect());
        };
        let padded = match node.input_name(3) {
            Some(_) => self.ints(node, 3)?,
            None => (0..whole.len() as i64).collect(),
        };
        let ends = pads.get(padded.len()..).filter(|ends| ends.len() == padded.len())?;
        let border =
            |((&before, &after), &axis)| Some((normalized(axis, whole.len())?, [before, after]));
        pads.iter().zip(ends).zip(&padded).map(border).collect()
    }

    /// True if every reader of the node's output slides windows over it that are longer than the
    /// border, or if the border is negligible to them.
    fn is_spanned(&self, node: &NodeProto, axis: usize, border: i64) -> bool {
        self.all_readers(node, |reader| {
            let spans = self.extent(reader, axis).is_some_and(|extent| extent > border);
            spans || border <= NEGLIGIBLE && (has_windows(reader) || reader.op() == "Slice")
        })
    }

    /// True if nothing but windows reads what a node leaves of an axis, so that the few positions
    /// which it removes are a convolution's padding or rest. A roll reads both parts instead.
    pub(super) fn is_trimming(&self, node: &NodeProto, before: i64, after: i64) -> bool {
        before <= NEGLIGIBLE && after <= NEGLIGIBLE && self.all_readers(node, has_windows)
    }

    fn all_readers(&self, node: &NodeProto, holds: impl Fn(&NodeProto) -> bool) -> bool {
        let output = node.output.first().map_or("", String::as_str);
        let mut readers = self.graph_index.consumers(output).peekable();
        readers.peek().is_some() && readers.all(|reader| holds(&float_equivalent(reader)))
    }

    /// How many positions of an axis a window of the operator covers.
    pub(super) fn extent(&self, node: &NodeProto, axis: usize) -> Option<i64> {
        if !has_windows(node) {
            return None;
        }
        let index = axis.checked_sub(2)?;
        let size = match node.ints("kernel_shape") {
            Some(sizes) => *sizes.get(index)?,
            None => *self.input_sizes(node, 1)?.get(axis)?,
        };
        let dilation = node.ints("dilations").and_then(|steps| steps.get(index));
        Some((size - 1) * dilation.copied().unwrap_or(1) + 1)
    }
}
