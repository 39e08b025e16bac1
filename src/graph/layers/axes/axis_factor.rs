//! An axis as a list of factors, which reshaping splits and joins.
//!
//! An axis of 196 tokens that came from 14 rows of 14 columns has the factors rows × columns. A
//! `Reshape` that cuts rows into windows splits the factor of the rows in two.

use crate::graph::layers::tokens::Tokens;

/// What a factor of an axis enumerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AxisKind {
    Images,
    Rows,
    Columns,
    /// Anything without a position in the image: channels, heads, classes.
    Channels,
    /// Positions of a grid, row by row, with other tokens before or after them.
    Tokens(Tokens),
}

/// A factor of an axis: `size` steps of `stride` through an extent of `whole` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AxisFactor {
    pub(super) kind: AxisKind,
    pub(super) size: i64,
    pub(super) stride: i64,
    pub(super) whole: i64,
}

impl AxisFactor {
    /// A factor that covers its whole extent, step by step.
    pub(super) fn whole(kind: AxisKind, size: i64) -> Self {
        Self { kind, size, stride: 1, whole: size }
    }

    /// This factor and the next, less significant one as one, if `next` fills one step of this one.
    fn joined(self, next: Self) -> Option<Self> {
        let same = self.kind == next.kind && !matches!(self.kind, AxisKind::Tokens(_));
        if same && self.kind == AxisKind::Channels {
            return Some(Self::whole(AxisKind::Channels, self.size * next.size));
        }
        let adjoins = same && self.whole == next.whole && self.stride == next.stride * next.size;
        adjoins.then_some(Self { size: self.size * next.size, stride: next.stride, ..self })
    }

    /// A coarse factor of `count` steps, and the fine factor within each of its steps.
    fn split(self, count: i64) -> Option<(Self, Self)> {
        if matches!(self.kind, AxisKind::Tokens(_)) || self.size % count != 0 {
            return None;
        }
        let fine_size = self.size / count;
        let coarse = Self { size: count, stride: self.stride * fine_size, ..self };
        Some((coarse, Self { size: fine_size, ..self }))
    }

    /// True for a factor that covers its extent, in single steps or in coarser ones.
    pub(super) fn is_whole(&self) -> bool {
        self.size * self.stride == self.whole
    }

    /// True for a factor that says where in the image a value belongs.
    pub(super) fn is_spatial(&self) -> bool {
        matches!(self.kind, AxisKind::Rows | AxisKind::Columns | AxisKind::Tokens(_))
    }
}

/// An axis: its factors, the most significant first. An axis of size 1 has none.
pub(super) type Axis = Vec<AxisFactor>;
/// The axes of a tensor.
pub(super) type Axes = Vec<Axis>;

/// An axis of one whole factor.
pub(super) fn whole_axis(kind: AxisKind, size: i64) -> Axis {
    if size == 1 { Vec::new() } else { vec![AxisFactor::whole(kind, size)] }
}

/// The grid of positions that an axis enumerates, if it covers all of one.
pub(super) fn token_grid(axis: &Axis) -> Option<Tokens> {
    match axis.as_slice() {
        [AxisFactor { kind: AxisKind::Tokens(tokens), .. }] => Some(*tokens),
        [rows, columns]
            if rows.kind == AxisKind::Rows
                && columns.kind == AxisKind::Columns
                && rows.is_whole()
                && columns.is_whole() =>
        {
            let size = |factor: &AxisFactor| usize::try_from(factor.size).ok();
            Some(Tokens { skip: 0, grid: [size(rows)?, size(columns)?] })
        }
        _ => None,
    }
}

/// The axes after a `Reshape` to `sizes`; `None` where a factor cannot be split as needed.
pub(super) fn regroup(axes: &Axes, sizes: &[i64]) -> Option<Axes> {
    let mut factors: Vec<AxisFactor> = axes.iter().flatten().rev().copied().collect();
    let mut regrouped = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let (mut axis, mut missing) = (Axis::new(), size);
        while missing > 1 {
            let factor = factors.pop()?;
            let taken = if missing % factor.size == 0 {
                factor
            } else {
                let (coarse, fine) = factor.split(missing)?;
                factors.push(fine);
                coarse
            };
            missing /= taken.size;
            match axis.last_mut().and_then(|last| last.joined(taken).map(|joined| (last, joined))) {
                Some((last, joined)) => *last = joined,
                None => axis.push(taken),
            }
        }
        regrouped.push(axis);
    }
    factors.is_empty().then_some(regrouped)
}

/// True for an axis of channels alone, or of size 1.
pub(super) fn is_channels(axis: &Axis) -> bool {
    axis.iter().all(|factor| factor.kind == AxisKind::Channels)
}

/// True when two inputs of an operator agree on an axis: the same factors, or channels in both.
pub(super) fn agree(a: &Axis, b: &Axis) -> bool {
    a == b || (is_channels(a) && is_channels(b))
}
