//! Across the rows of the matrix: the outputs are a sum of its rows, each times a number of the
//! input.

use super::{BLOCK_BYTES, INPUTS, Loops, Matrix, Operands, ROWS};
use crate::lanes::Lanes;
use crate::pool::{Pool, Shared};
use crate::simd::Simd;

/// Blocks of a row that a thread takes at once: 8 KB, two pages, so that few pages are looked up
/// for a row.
const BLOCKS: usize = 128;

/// Some whole blocks of columns, summed up for up to [`INPUTS`] inputs.
pub(super) struct Job<'a> {
    /// `[input][row]`.
    inputs: &'a [f32],
    count: usize,
    /// How many numbers an input has.
    height: usize,
    /// Rows where some input is not zero.
    rows: &'a [usize],
    /// The first of the columns in row 0.
    columns: *const u8,
    row_bytes: usize,
    blocks: usize,
    sums: &'a mut [[Lanes; BLOCKS]; INPUTS],
}

/// See [`super::product`].
pub(super) fn product(
    loops: Loops,
    operands: Operands<'_>,
    output: &mut [f32],
    threads: &dyn Pool,
) {
    let Operands { input, matrix, .. } = operands;
    let Matrix { rows: height, columns, .. } = matrix;
    let whole = columns / Lanes::COUNT;
    // Enough pieces for all threads, none so narrow that the memory is asked for crumbs.
    let wide = whole.div_ceil(2 * threads.threads().max(1)).clamp(BLOCKS / 4, BLOCKS);
    let output = Shared::new(output);
    for (group, inputs) in input.chunks(INPUTS * height).enumerate() {
        let first = group * INPUTS;
        let count = inputs.len() / height;
        let is_read =
            |row: &usize| inputs.iter().skip(*row).step_by(height).any(|&value| value != 0.0);
        let rows: Vec<usize> = (0..height).filter(is_read).collect();
        threads.run(whole.div_ceil(wide), &|piece| {
            let from = piece * wide;
            let blocks = wide.min(whole - from);
            let mut sums = [[Lanes::ZERO; BLOCKS]; INPUTS];
            for (block, lanes) in sums[0][..blocks].iter_mut().enumerate() {
                lanes.0 = std::array::from_fn(|lane| {
                    operands.start((from + block) * Lanes::COUNT + lane)
                });
            }
            let (one, others) = sums.split_at_mut(1);
            others[..count - 1].fill(one[0]);
            let columns_at = matrix.bytes[from * BLOCK_BYTES..].as_ptr();
            let mut job = Job {
                inputs,
                count,
                height,
                rows: &rows,
                columns: columns_at,
                row_bytes: matrix.row_bytes(),
                blocks,
                sums: &mut sums,
            };
            // SAFETY: the loops are this processor's; the blocks are whole ones of every row of the
            // matrix, whose length was checked.
            unsafe { (loops.sums)(&mut job) };
            for (n, sums) in sums[..count].iter().enumerate() {
                for (block, lanes) in sums[..blocks].iter().enumerate() {
                    let place = (first + n) * columns + (from + block) * Lanes::COUNT;
                    // SAFETY: every piece has columns of its own, inside the output.
                    unsafe { output.get().add(place).cast::<[f32; Lanes::COUNT]>().write(lanes.0) };
                }
            }
        });
        for column in whole * Lanes::COUNT..columns {
            for (n, input) in inputs.chunks_exact(height).enumerate() {
                let terms = rows.iter().filter(|&&row| input[row] != 0.0);
                let sum: f32 = terms.map(|&row| input[row] * matrix.at(row, column)).sum();
                // SAFETY: inside the output, after all pieces.
                unsafe {
                    output
                        .get()
                        .add((first + n) * columns + column)
                        .write(sum + operands.start(column))
                };
            }
        }
    }
}

/// # Safety
/// The processor has S's instructions; see [`Job`] for what its pointers must hold.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(job: &mut Job<'_>) {
    let row_at = |row: usize| job.columns.wrapping_add(row * job.row_bytes);
    for (group, rows) in job.rows.chunks(ROWS).enumerate() {
        // The last rows may be fewer: the others are the last again, times nothing.
        let of = |index: usize| rows[index.min(rows.len() - 1)];
        let lines: [*const u8; ROWS] = std::array::from_fn(|index| row_at(of(index)));
        // Rows lie too far apart for the processor to guess the next.
        let next = &job.rows[((group + 1) * ROWS).min(job.rows.len())..];
        let mut next = &next[..ROWS.min(next.len())];
        for n in 0..job.count {
            let input = &job.inputs[n * job.height..][..job.height];
            let factors: [f32; ROWS] =
                std::array::from_fn(
                    |index| if index < rows.len() { input[of(index)] } else { 0.0 },
                );
            if factors == [0.0; ROWS] {
                continue;
            }
            // SAFETY: the caller's promise: the blocks are there in each row.
            unsafe {
                let factors = factors.map(|factor| S::splat(factor));
                for block in 0..job.blocks {
                    for &row in next {
                        S::prefetch(row_at(row).wrapping_add(block * BLOCK_BYTES));
                    }
                    let place = &raw mut job.sums[n][block];
                    let mut sum = S::load(place);
                    for (line, factor) in lines.into_iter().zip(factors) {
                        sum = S::mul_add(S::load_bytes(line.add(block * BLOCK_BYTES)), factor, sum);
                    }
                    S::store(place, sum);
                }
            }
            next = &[];
        }
    }
}
