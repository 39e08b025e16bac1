//! An axis as a list of parts, which reshaping splits and joins.

use crate::graph::layers::layout::Tokens;

/// What a part of an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
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
pub(super) struct Part {
    pub(super) of: Of,
    pub(super) size: i64,
    pub(super) stride: i64,
    pub(super) whole: i64,
}

impl Part {
    /// All of something.
    pub(super) fn all(of: Of, size: i64) -> Self {
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
    pub(super) fn is_whole(&self) -> bool {
        self.size * self.stride == self.whole
    }

    /// True for what says where in the image something is.
    pub(super) fn is_place(&self) -> bool {
        matches!(self.of, Of::Rows | Of::Columns | Of::Tokens(_))
    }
}

/// An axis: its parts, the most significant first.
pub(super) type Axis = Vec<Part>;
/// The axes of a tensor.
pub(super) type Axes = Vec<Axis>;

/// The axis of all of something; of a single one there is nothing to tell.
pub(super) fn all(of: Of, size: i64) -> Axis {
    if size == 1 { Vec::new() } else { vec![Part::all(of, size)] }
}

/// The places that an axis of tokens holds, when it holds all of a grid.
pub(super) fn places(axis: &Axis) -> Option<Tokens> {
    match axis.as_slice() {
        [Part { of: Of::Tokens(tokens), .. }] => Some(*tokens),
        [rows, columns]
            if rows.of == Of::Rows
                && columns.of == Of::Columns
                && rows.is_whole()
                && columns.is_whole() =>
        {
            let size = |part: &Part| usize::try_from(part.size).ok();
            Some(Tokens { skip: 0, grid: [size(rows)?, size(columns)?] })
        }
        _ => None,
    }
}

/// Cuts the same numbers into axes of other sizes.
pub(super) fn regroup(axes: &Axes, sizes: &[i64]) -> Option<Axes> {
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

/// Two accounts of one axis: the same, or channels in both.
pub(super) fn agrees(a: &Axis, b: &Axis) -> bool {
    let channels = |axis: &Axis| axis.iter().all(|part| part.of == Of::Channels);
    a == b || (channels(a) && channels(b))
}
