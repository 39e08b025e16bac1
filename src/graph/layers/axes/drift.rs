//! How far sliding windows move the centre of the maps.
//!
//! A map is stretched over the image, centre on centre. An even window with padding at one side, as
//! `SAME` has it, moves the centre by half a position. That is not seen once, but it adds up.

use super::axis_factor::{Axes, AxisKind};
use super::operators::Tracer;
use onnx_gradient::index::reads;
use onnx_gradient::proto::NodeProto;

/// The displacement of the centre, as parts of the image's rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift<'g> {
    rows: f64,
    columns: f64,
    /// The last node that added to it.
    by: &'g NodeProto,
}

impl<'g> Drift<'g> {
    fn largest(&self) -> f64 {
        self.rows.abs().max(self.columns.abs())
    }

    /// The node that added the last part, if a tensor with these axes lies a whole position off.
    pub(super) fn seen_at(&self, axes: &Axes) -> Option<&'g NodeProto> {
        let size = |kind: AxisKind| {
            let factors = axes.iter().flatten().filter(|factor| factor.kind == kind);
            factors.map(|factor| factor.size).product::<i64>() as f64
        };
        let rows = self.rows.abs() * size(AxisKind::Rows);
        let columns = self.columns.abs() * size(AxisKind::Columns);
        (rows.max(columns) >= 1.0 - 1e-6).then_some(self.by)
    }
}

impl<'g> Tracer<'_, 'g> {
    /// The drift of a node's output with these axes and sizes; `node` is it or its float equivalent.
    pub(super) fn drift(
        &self,
        original: &'g NodeProto,
        node: &NodeProto,
        axes: &Axes,
        sizes: &[i64],
    ) -> Option<Drift<'g>> {
        let of_inputs = reads(node).filter_map(|input| self.drifts.get(input));
        let inherited = of_inputs.max_by(|a, b| a.largest().total_cmp(&b.largest())).copied();
        let (mut rows, mut columns) = (0.0, 0.0);
        if matches!(node.op(), "Conv" | "MaxPool" | "AveragePool" | "LpPool") && sizes.len() == 4 {
            for axis in 2..4 {
                let part = self.moved_part(node, axis, sizes[axis]).unwrap_or(0.0);
                match axes[axis].as_slice() {
                    [factor] if factor.kind == AxisKind::Rows => rows = part,
                    [factor] if factor.kind == AxisKind::Columns => columns = part,
                    _ => {}
                }
            }
        }
        let Some(inherited) = inherited else {
            return (rows != 0.0 || columns != 0.0).then_some(Drift {
                rows,
                columns,
                by: original,
            });
        };
        let by = if rows == 0.0 && columns == 0.0 { inherited.by } else { original };
        Some(Drift { rows: inherited.rows + rows, columns: inherited.columns + columns, by })
    }

    /// How far windows move the centre of an axis, as a part of its length.
    fn moved_part(&self, node: &NodeProto, axis: usize, after: i64) -> Option<f64> {
        let before = *self.input_sizes(node, 0)?.get(axis)?;
        let index = axis - 2;
        let stride = node.ints("strides").and_then(|steps| steps.get(index)).copied().unwrap_or(1);
        let span = (after - 1) * stride + self.extent(node, axis)?;
        let added = (span - before).max(0);
        let padding = match (node.ints("pads"), node.string("auto_pad", "NOTSET")) {
            (_, "SAME_UPPER") => added / 2,
            (_, "SAME_LOWER") => added - added / 2,
            (Some(pads), _) => *pads.get(index)?,
            (None, _) => 0,
        };
        // The centre of what the windows cover, in positions of the input, and the input's own.
        let moved = (span - 1) as f64 / 2.0 - padding as f64 - (before - 1) as f64 / 2.0;
        Some(moved / before as f64)
    }
}
