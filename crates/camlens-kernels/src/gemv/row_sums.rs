//! Across the rows of the matrix: the outputs are a sum of its rows, each times an input value.

use super::matrix::{BLOCK_BYTES, INPUTS, Matrix, Operands, ROWS};
use crate::block16::Block16;
use crate::executor::Executor;
use crate::rounding::to_f32;
use crate::shared_mut::SharedMut;
use crate::simd::{Isa, Portable, Simd};

/// Groups of [`ROWS`] rows that are summed up before they are added to the total: 256 rows. One
/// running sum over all rows of a tall matrix would lose digits.
const GROUPS_PER_PARTIAL_SUM: usize = 64;

/// Blocks of a row in one task: 8 KB, or two pages, so that each row costs few TLB misses.
const TASK_BLOCKS: usize = 128;

/// Some whole blocks of columns, summed up for up to [`INPUTS`] inputs.
pub(super) struct Job<'a> {
    /// `[input][row]`.
    inputs: &'a [f32],
    count: usize,
    /// Values per input.
    height: usize,
    /// Rows in which some input is non-zero.
    rows: &'a [usize],
    /// The first of the columns, in row 0.
    columns: *const u8,
    row_bytes: usize,
    blocks: usize,
    sums: &'a mut [[Block16; TASK_BLOCKS]; INPUTS],
    /// The sums of the current rows, added to `sums` after every [`GROUPS_PER_PARTIAL_SUM`].
    partial: &'a mut [[Block16; TASK_BLOCKS]; INPUTS],
}

/// See [`super::gemv`].
pub(super) fn gemv(
    kernel: Kernel,
    operands: Operands<'_>,
    output: &mut [f32],
    executor: &dyn Executor,
) {
    let Operands { input, matrix, .. } = operands;
    let Matrix { rows: height, columns, .. } = matrix;
    let whole = columns / Block16::LANES;
    // Enough tasks for all threads, none so narrow that memory is read in tiny pieces.
    let wide = whole.div_ceil(2 * executor.threads().max(1)).clamp(TASK_BLOCKS / 4, TASK_BLOCKS);
    let output = SharedMut::new(output);
    for (group, inputs) in input.chunks(INPUTS * height).enumerate() {
        let first = group * INPUTS;
        let count = inputs.len() / height;
        let is_read =
            |row: &usize| inputs.iter().skip(*row).step_by(height).any(|&value| value != 0.0);
        let rows: Vec<usize> = (0..height).filter(is_read).collect();
        executor.run(whole.div_ceil(wide), &|task| {
            let from = task * wide;
            let blocks = wide.min(whole - from);
            let mut sums = [[Block16::ZERO; TASK_BLOCKS]; INPUTS];
            for (block, lanes) in sums[0][..blocks].iter_mut().enumerate() {
                lanes.0 = std::array::from_fn(|lane| {
                    operands.bias_at((from + block) * Block16::LANES + lane)
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
                partial: &mut [[Block16::ZERO; TASK_BLOCKS]; INPUTS],
            };
            // SAFETY: the kernel is for this processor. The blocks are whole ones of every row of
            // the matrix, whose length was checked.
            unsafe { kernel(&mut job) };
            for (n, sums) in sums[..count].iter().enumerate() {
                for (block, lanes) in sums[..blocks].iter().enumerate() {
                    let at = (first + n) * columns + (from + block) * Block16::LANES;
                    // SAFETY: tasks write disjoint columns, all inside the output.
                    unsafe { output.get().add(at).cast::<[f32; Block16::LANES]>().write(lanes.0) };
                }
            }
        });
        for column in whole * Block16::LANES..columns {
            for (n, input) in inputs.chunks_exact(height).enumerate() {
                let terms = rows.iter().filter(|&&row| input[row] != 0.0);
                let term = |&row: &usize| f64::from(input[row]) * f64::from(matrix.at(row, column));
                let sum: f64 = terms.map(term).sum();
                let value = to_f32(sum + f64::from(operands.bias_at(column)));
                // SAFETY: inside the output, after all tasks.
                unsafe {
                    output.get().add((first + n) * columns + column).write(value);
                }
            }
        }
    }
}

/// Adds a job's rows to its sums.
///
/// # Safety
/// The processor has the kernel's instructions, and each row in `rows` holds the job's columns.
pub(super) type Kernel = unsafe fn(&mut Job<'_>);

/// The kernel for an instruction set.
pub(super) const fn kernel_for(isa: Isa) -> Kernel {
    match isa {
        Isa::Portable => add_rows::<Portable>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => add_rows::<crate::simd::aarch64::Neon>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &mut Job<'_>) {
    // SAFETY: guaranteed by the caller.
    unsafe { add_rows::<crate::simd::x86::Avx2>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(job: &mut Job<'_>) {
    // SAFETY: guaranteed by the caller.
    unsafe { add_rows::<crate::simd::x86::Avx512>(job) }
}

/// # Safety
/// See [`Kernel`].
#[inline(always)]
unsafe fn add_rows<S: Simd>(job: &mut Job<'_>) {
    let (columns, row_bytes, all_rows) = (job.columns, job.row_bytes, job.rows);
    let row_at = |row: usize| columns.wrapping_add(row * row_bytes);
    for (group, rows) in all_rows.chunks(ROWS).enumerate() {
        // The last group may have fewer rows: the last row is repeated with a factor of zero.
        let of = |index: usize| rows[index.min(rows.len() - 1)];
        let lines: [*const u8; ROWS] = std::array::from_fn(|index| row_at(of(index)));
        // Rows are too far apart for the hardware prefetcher to guess the next ones.
        let next = &all_rows[((group + 1) * ROWS).min(all_rows.len())..];
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
            // SAFETY: guaranteed by the caller: each row holds the blocks.
            unsafe {
                let factors = factors.map(|factor| S::splat(factor));
                for block in 0..job.blocks {
                    for &row in next {
                        S::prefetch(row_at(row).wrapping_add(block * BLOCK_BYTES));
                    }
                    let at = &raw mut job.partial[n][block];
                    let mut sum = S::load(at);
                    for (line, factor) in lines.into_iter().zip(factors) {
                        let weights = S::load_unaligned(line.add(block * BLOCK_BYTES));
                        sum = S::mul_add(weights, factor, sum);
                    }
                    S::store(at, sum);
                }
            }
            next = &[];
        }
        if (group + 1).is_multiple_of(GROUPS_PER_PARTIAL_SUM) {
            // SAFETY: guaranteed by the caller.
            unsafe { add_partial::<S>(job) };
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe { add_partial::<S>(job) };
}

/// Moves the partial sums to the totals.
///
/// # Safety
/// See [`Kernel`].
#[inline(always)]
unsafe fn add_partial<S: Simd>(job: &mut Job<'_>) {
    let totals = job.sums.iter_mut().zip(&mut *job.partial).take(job.count);
    for (totals, partial) in totals {
        for (total, partial) in totals.iter_mut().zip(partial).take(job.blocks) {
            // SAFETY: guaranteed by the caller.
            unsafe {
                S::store(total, S::add(S::load(total), S::load(partial)));
                S::store(partial, S::splat(0.0));
            }
        }
    }
}
