//! Along the rows of the matrix: each output is the dot product of an input and a row.

use super::{BLOCK_BYTES, INPUTS, Loops, Matrix, Operands, ROWS};
use crate::lanes::Lanes;
use crate::pool::{Pool, Shared};
use crate::simd::Simd;

/// Rows of the matrix that a thread takes at once.
const PIECE: usize = 4 * ROWS;

/// Blocks of each row that are worked on at once: with the same of all inputs they stay in a first
/// cache of 32 KB.
const BLOCKS: usize = 32;

/// The dot products of some rows with up to [`INPUTS`] inputs.
pub(super) struct Job<'a> {
    /// `[input][block]`.
    inputs: &'a [Lanes],
    count: usize,
    /// Blocks of an input; the last may be part zeros that the matrix has no columns for.
    blocks: usize,
    /// The whole blocks where some input is not zero.
    read: &'a [usize],
    /// [`ROWS`] rows; where there are fewer, the last again.
    rows: [*const u8; ROWS],
    /// Where the sums go.
    sums: [[Lanes; INPUTS]; ROWS],
}

/// See [`super::product_transposed`].
pub(super) fn product(
    loops: Loops,
    operands: Operands<'_>,
    output: &mut [f32],
    threads: &dyn Pool,
) {
    let Operands { input, matrix, .. } = operands;
    let Matrix { rows, columns, .. } = matrix;
    let (whole, blocks) = (columns / Lanes::COUNT, columns.div_ceil(Lanes::COUNT));
    let inputs = in_blocks(input, columns, blocks);
    let output = Shared::new(output);
    for (group, inputs) in inputs.chunks(INPUTS * blocks).enumerate() {
        let first = group * INPUTS;
        let count = inputs.len() / blocks;
        let is_read = |block: &usize| {
            inputs.iter().skip(*block).step_by(blocks).any(|lanes| *lanes != Lanes::ZERO)
        };
        let read: Vec<usize> = (0..whole).filter(is_read).collect();
        threads.run(rows.div_ceil(PIECE), &|piece| {
            let end = rows.min((piece + 1) * PIECE);
            for row in (piece * PIECE..end).step_by(ROWS) {
                let of = |index: usize| {
                    matrix.bytes[(row + index).min(end - 1) * matrix.row_bytes()..].as_ptr()
                };
                let mut job = Job {
                    inputs,
                    count,
                    blocks,
                    read: &read,
                    rows: std::array::from_fn(of),
                    sums: [[Lanes::ZERO; INPUTS]; ROWS],
                };
                // SAFETY: the loops are this processor's; the rows lie in the matrix, whose length
                // was checked, and the blocks are whole ones of a row and of every
                // input.
                unsafe { (loops.dots)(&mut job) };
                for (row, sums) in (row..end).zip(&job.sums) {
                    for (n, sum) in sums[..count].iter().enumerate() {
                        let input = &inputs[n * blocks..][..blocks];
                        let rest: f32 = (whole * Lanes::COUNT..columns)
                            .map(|column| {
                                input[column / Lanes::COUNT].0[column % Lanes::COUNT]
                                    * matrix.at(row, column)
                            })
                            .sum();
                        let value = sum.0.iter().sum::<f32>() + rest + operands.start(row);
                        // SAFETY: every piece has rows of its own, inside the output.
                        unsafe { output.get().add((first + n) * rows + row).write(value) };
                    }
                }
            }
        });
    }
}

/// The inputs `[N, columns]`, each in so many blocks.
fn in_blocks(input: &[f32], columns: usize, blocks: usize) -> Vec<Lanes> {
    let mut all = Vec::with_capacity(input.len() / columns * blocks);
    for row in input.chunks_exact(columns) {
        for part in row.chunks(Lanes::COUNT) {
            let mut block = Lanes::ZERO;
            block.0[..part.len()].copy_from_slice(part);
            all.push(block);
        }
    }
    all
}

/// # Safety
/// The processor has S's instructions; see [`Job`] for what its pointers must hold.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, const MOST: usize>(job: &mut Job<'_>) {
    for (group, now) in job.read.chunks(BLOCKS).enumerate() {
        let soon = &job.read[((group + 1) * BLOCKS).min(job.read.len())..];
        let soon = &soon[..BLOCKS.min(soon.len())];
        let mut input = 0;
        while input < job.count {
            let wide = if job.count - input >= MOST { MOST } else { 1 };
            // The rows are asked for evenly, while all inputs are worked on.
            let asked = |input: usize| (input * ROWS).div_ceil(job.count);
            let rows = asked(input)..asked(input + wide);
            let part = Part { now, soon, rows, first: input };
            // SAFETY: the caller's promise.
            unsafe {
                if wide == MOST {
                    several::<S, MOST>(job, &part)
                } else {
                    several::<S, 1>(job, &part)
                }
            }
            input += wide;
        }
    }
}

/// Some blocks, for some inputs.
struct Part<'a> {
    now: &'a [usize],
    /// The blocks that come next, and the rows of which they are asked for.
    soon: &'a [usize],
    rows: std::ops::Range<usize>,
    first: usize,
}

/// A part of the sums of N inputs.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn several<S: Simd, const N: usize>(job: &mut Job<'_>, part: &Part<'_>) {
    let first = part.first;
    // SAFETY: the caller's promise: the blocks are there, in the rows and in the inputs.
    unsafe {
        let inputs: [*const Lanes; N] =
            std::array::from_fn(|n| job.inputs.as_ptr().add((first + n) * job.blocks));
        let mut sums: [[S::V; N]; ROWS] = std::array::from_fn(|row| {
            std::array::from_fn(|n| S::load(&raw const job.sums[row][first + n]))
        });
        for (step, &block) in part.now.iter().enumerate() {
            if let Some(soon) = part.soon.get(step) {
                for row in &job.rows[part.rows.clone()] {
                    S::prefetch(row.wrapping_add(soon * BLOCK_BYTES));
                }
            }
            let inputs: [S::V; N] = std::array::from_fn(|n| S::load(inputs[n].add(block)));
            for (row, sums) in job.rows.into_iter().zip(&mut sums) {
                let weights = S::load_bytes(row.add(block * BLOCK_BYTES));
                for (input, sum) in inputs.into_iter().zip(sums) {
                    *sum = S::mul_add(weights, input, *sum);
                }
            }
        }
        for (into, sums) in job.sums.iter_mut().zip(sums) {
            for (n, sum) in sums.into_iter().enumerate() {
                S::store(&raw mut into[first + n], sum);
            }
        }
    }
}
