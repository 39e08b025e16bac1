//! Broadcasting: how an input that is smaller than the result is read, chunk by chunk.

use std::ops::Range;

use super::buffer::ChunkBuffer;
use super::types::Tensor;
use crate::error::InvalidArgument;

/// The shape to which all of these are broadcast.
///
/// # Errors
/// When they can't be broadcast together.
pub(super) fn broadcast_shape(shapes: &[&[usize]]) -> Result<Vec<usize>, InvalidArgument> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut whole = vec![1; rank];
    for shape in shapes {
        for (size, &new) in whole[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*size, new) {
                (known, new) if known == new || new == 1 => {}
                (1, new) => *size = new,
                _ => {
                    return Err(InvalidArgument::new(format!(
                        "the shapes {shapes:?} can't be broadcast together"
                    )));
                }
            }
        }
    }
    Ok(whole)
}

/// How the elements of an input map to those of the result.
#[derive(Debug)]
pub(super) enum InputAccess<'a> {
    /// One element per element of the result, in the same order.
    Whole(&'a [f32]),
    /// The same, but supplied chunk by chunk.
    Streamed,
    /// One element for all.
    Scalar(f32),
    /// Elements that are repeated along some axes.
    Broadcast {
        data: &'a [f32],
        /// Size and stride of the result's axes, outermost first; adjacent axes that are read
        /// alike are merged.
        axes: Vec<(usize, usize)>,
    },
}

impl<'a> InputAccess<'a> {
    /// The access of an input, as long as its shape says, to a result of `len` elements with a
    /// shape that it is broadcast to.
    pub(super) fn new(input: Tensor<'a>, shape: &[usize], len: usize) -> Self {
        let Tensor { data, shape: sizes } = input;
        // Nothing is read for an empty result, whose other sizes may have any product.
        if data.len() == len || len == 0 {
            return Self::Whole(data);
        }
        if let [one] = data {
            return Self::Scalar(*one);
        }
        // From the innermost axis outwards.
        let mut axes: Vec<(usize, usize)> = Vec::new();
        let mut step = 1;
        for (index, &size) in shape.iter().rev().enumerate() {
            let input_size = sizes.iter().rev().nth(index).copied().unwrap_or(1);
            let stride = if input_size == 1 { 0 } else { step };
            step *= input_size;
            match axes.last_mut() {
                _ if size == 1 => {}
                Some((inner, known)) if stride == *known * *inner => *inner *= size,
                _ => axes.push((size, stride)),
            }
        }
        axes.reverse();
        Self::Broadcast { data, axes }
    }
}

/// An input positioned at a chunk, as one thread reads it.
pub(super) enum InputCursor<'a> {
    /// Contiguous elements, and where the chunk starts.
    Whole { data: &'a [f32], from: usize },
    /// Elements that the caller supplies.
    Streamed,
    /// A chunk of one repeated element.
    Scalar(ChunkBuffer),
    /// Elements that are gathered for every chunk.
    Broadcast { data: &'a [f32], axes: &'a [(usize, usize)], buffer: ChunkBuffer },
}

impl<'a> InputCursor<'a> {
    pub(super) fn new(access: &'a InputAccess<'a>) -> Self {
        match access {
            InputAccess::Whole(data) => Self::Whole { data, from: 0 },
            InputAccess::Streamed => Self::Streamed,
            InputAccess::Scalar(value) => Self::scalar(*value),
            InputAccess::Broadcast { data, axes } => {
                Self::Broadcast { data, axes, buffer: ChunkBuffer::filled(0.0) }
            }
        }
    }

    pub(super) fn scalar(value: f32) -> Self {
        Self::Scalar(ChunkBuffer::filled(value))
    }

    /// Moves to a chunk of the result.
    pub(super) fn seek(&mut self, chunk: Range<usize>) {
        match self {
            Self::Whole { from, .. } => *from = chunk.start,
            Self::Streamed | Self::Scalar(_) => {}
            Self::Broadcast { data, axes, buffer } => {
                gather(data, axes, &chunk, buffer.floats_mut(chunk.len()));
            }
        }
    }

    /// The first `count` elements of the chunk; `streamed` is the chunk of the streamed input.
    pub(super) fn chunk<'b>(&'b self, streamed: &'b [f32], count: usize) -> &'b [f32] {
        match self {
            Self::Whole { data, from } => &data[*from..][..count],
            Self::Streamed => &streamed[..count],
            Self::Scalar(buffer) | Self::Broadcast { buffer, .. } => buffer.floats(count),
        }
    }
}

/// Gathers a chunk of broadcast elements.
fn gather(data: &[f32], axes: &[(usize, usize)], chunk: &Range<usize>, buffer: &mut [f32]) {
    let Some((&(inner, stride), outer)) = axes.split_last() else { return };
    // A row that is repeated along the next axis, as a channel block is at every position of its
    // map, is located once.
    let (times, outer) = match outer.split_last() {
        Some((&(times, 0), outer)) if stride != 0 => (times, outer),
        _ => (1, outer),
    };
    let run = inner * times;
    let mut index = chunk.start;
    while index < chunk.end {
        let (row, column) = (index / run, index % run);
        let count = (run - column).min(chunk.end - index);
        let to = &mut buffer[index - chunk.start..][..count];
        let (mut rest, mut at) = (row, 0);
        for &(size, stride) in outer.iter().rev() {
            at += rest % size * stride;
            rest /= size;
        }
        match stride {
            0 => to.fill(data[at]),
            // An input is row-major, so the stride of its innermost axis is 1 unless it is 0.
            _ => repeat(&data[at..][..inner], column % inner, to),
        }
        index += count;
    }
}

/// Fills `to` with repetitions of a row, starting at an offset in it.
fn repeat(row: &[f32], from: usize, to: &mut [f32]) {
    let (first, rest) = to.split_at_mut((row.len() - from).min(to.len()));
    first.copy_from_slice(&row[from..][..first.len()]);
    // Channel blocks get loops of constant length.
    if let Ok(row) = <&[f32; 8]>::try_from(row) {
        repeat_block(row, rest);
    } else if let Ok(row) = <&[f32; 16]>::try_from(row) {
        repeat_block(row, rest);
    } else {
        rest.chunks_mut(row.len()).for_each(|to| to.copy_from_slice(&row[..to.len()]));
    }
}

/// Fills `to` with repetitions of a row of constant length.
fn repeat_block<const LANES: usize>(row: &[f32; LANES], to: &mut [f32]) {
    let (whole, last) = to.as_chunks_mut::<LANES>();
    whole.fill(*row);
    last.copy_from_slice(&row[..last.len()]);
}
