//! How an input smaller than the result is read: block by block, each number as often as it is
//! needed.

use std::ops::Range;

use super::Tensor;
use super::buffer::Buffer;

/// The shape to which all of these are broadcast.
///
/// # Errors
/// When they don't fit together.
pub(super) fn shape(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut whole = vec![1; rank];
    for shape in shapes {
        for (size, &of_this) in whole[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*size, of_this) {
                (known, new) if known == new || new == 1 => {}
                (1, new) => *size = new,
                _ => return Err(format!("the shapes {shapes:?} can't be broadcast to one")),
            }
        }
    }
    Ok(whole)
}

/// Where the numbers of an input lie, seen from the result.
#[derive(Debug)]
pub(super) enum Reading<'a> {
    /// In the same order, one for each.
    Whole(&'a [f32]),
    /// In the same order, but only handed in block by block.
    Handed,
    /// One number for all.
    Scalar(f32),
    /// Some for many.
    Spread {
        data: &'a [f32],
        /// The axes of the result, outermost first, neighbours that are read alike put together:
        /// size and stride.
        axes: Vec<(usize, usize)>,
    },
}

impl<'a> Reading<'a> {
    pub(super) fn new(input: Tensor<'a>, shape: &[usize]) -> Self {
        let Tensor { data, shape: sizes } = input;
        if data.len() == shape.iter().product::<usize>() {
            return Self::Whole(data);
        }
        if let [one] = data {
            return Self::Scalar(*one);
        }
        // From the innermost axis outwards.
        let mut axes: Vec<(usize, usize)> = Vec::new();
        let mut step = 1;
        for (index, &size) in shape.iter().rev().enumerate() {
            let of_this = sizes.iter().rev().nth(index).copied().unwrap_or(1);
            let stride = if of_this == 1 { 0 } else { step };
            step *= of_this;
            match axes.last_mut() {
                _ if size == 1 => {}
                Some((inner, known)) if stride == *known * *inner => *inner *= size,
                _ => axes.push((size, stride)),
            }
        }
        axes.reverse();
        Self::Spread { data, axes }
    }
}

/// An input as one thread reads it.
pub(super) enum Operand<'a> {
    /// Numbers that lie side by side, and the block's place among them.
    Whole { data: &'a [f32], from: usize },
    /// What is handed in.
    Handed,
    /// The same number for a whole block.
    Scalar(Buffer),
    /// Numbers that are gathered for every block.
    Spread { data: &'a [f32], axes: &'a [(usize, usize)], buffer: Buffer },
}

impl<'a> Operand<'a> {
    pub(super) fn new(reading: &'a Reading<'a>) -> Self {
        match reading {
            Reading::Whole(data) => Self::Whole { data, from: 0 },
            Reading::Handed => Self::Handed,
            Reading::Scalar(value) => Self::scalar(*value),
            Reading::Spread { data, axes } => Self::Spread { data, axes, buffer: Buffer::of(0.0) },
        }
    }

    pub(super) fn scalar(value: f32) -> Self {
        Self::Scalar(Buffer::of(value))
    }

    /// Goes to a block of the result.
    pub(super) fn seek(&mut self, block: Range<usize>) {
        match self {
            Self::Whole { from, .. } => *from = block.start,
            Self::Handed | Self::Scalar(_) => {}
            Self::Spread { data, axes, buffer } => {
                spread(data, axes, &block, buffer.numbers_mut(block.len()));
            }
        }
    }

    /// The numbers of the block; `handed` are those that come from no tensor.
    pub(super) fn numbers<'b>(&'b self, handed: &'b [f32], count: usize) -> &'b [f32] {
        match self {
            Self::Whole { data, from } => &data[*from..][..count],
            Self::Handed => &handed[..count],
            Self::Scalar(buffer) | Self::Spread { buffer, .. } => buffer.numbers(count),
        }
    }
}

/// Gathers a block of numbers.
fn spread(data: &[f32], axes: &[(usize, usize)], block: &Range<usize>, buffer: &mut [f32]) {
    let Some((&(inner, stride), outer)) = axes.split_last() else { return };
    // A row that is repeated, as the numbers of a block of channels are at every place of their
    // maps, is looked up once.
    let (times, outer) = match outer.split_last() {
        Some((&(times, 0), outer)) if stride != 0 => (times, outer),
        _ => (1, outer),
    };
    let run = inner * times;
    let mut place = block.start;
    while place < block.end {
        let (row, column) = (place / run, place % run);
        let count = (run - column).min(block.end - place);
        let to = &mut buffer[place - block.start..][..count];
        let (mut rest, mut at) = (row, 0);
        for &(size, stride) in outer.iter().rev() {
            at += rest % size * stride;
            rest /= size;
        }
        match stride {
            0 => to.fill(data[at]),
            // An input is row-major, so its innermost axis has stride 1 or none.
            _ => repeat(&data[at..][..inner], column % inner, to),
        }
        place += count;
    }
}

/// Writes a row again and again, first from a place inside it.
fn repeat(row: &[f32], from: usize, to: &mut [f32]) {
    let (first, rest) = to.split_at_mut((row.len() - from).min(to.len()));
    first.copy_from_slice(&row[from..][..first.len()]);
    // Blocks of channels are of lengths that the compiler knows.
    if let Ok(row) = <&[f32; 8]>::try_from(row) {
        repeat_block(row, rest);
    } else if let Ok(row) = <&[f32; 16]>::try_from(row) {
        repeat_block(row, rest);
    } else {
        rest.chunks_mut(row.len()).for_each(|to| to.copy_from_slice(&row[..to.len()]));
    }
}

/// Writes a row of this length again and again.
fn repeat_block<const LANES: usize>(row: &[f32; LANES], to: &mut [f32]) {
    let (whole, last) = to.as_chunks_mut::<LANES>();
    whole.fill(*row);
    last.copy_from_slice(&row[..last.len()]);
}
