//! Along the rows of the matrix: each output is the dot product of an input and a row.

use std::ops::Range;

use super::matrix::{BLOCK_BYTES, INPUTS, Matrix, Operands, ROWS};
use crate::block16::Block16;
use crate::executor::Executor;
use crate::rounding::to_f32;
use crate::shared_mut::SharedMut;
use crate::simd::{Isa, Portable, Simd};

/// Rows of the matrix in one task.
const TASK_ROWS: usize = 4 * ROWS;

/// Blocks of each row that are processed together: with the same blocks of all inputs, they fit a
/// first-level cache of 32 KB. Each segment has a register sum of its own, which is added to the
/// total: one running sum over a long row would lose digits.
const BLOCKS_AT_ONCE: usize = 32;

/// The dot products of some rows with up to [`INPUTS`] inputs.
pub(super) struct Job<'a> {
    /// `[input][block]`.
    inputs: &'a [Block16],
    count: usize,
    /// Blocks per input. The last may end in zeros for which the matrix has no columns.
    blocks: usize,
    /// The whole blocks in which some input is non-zero.
    read: &'a [usize],
    /// [`ROWS`] rows; missing ones repeat the last.
    rows: [*const u8; ROWS],
    /// Where the sums go.
    sums: [[Block16; INPUTS]; ROWS],
}

/// See [`super::gemv_transposed`].
pub(super) fn gemv(
    kernel: Kernel,
    operands: Operands<'_>,
    output: &mut [f32],
    executor: &dyn Executor,
) {
    let Operands { input, matrix, .. } = operands;
    let Matrix { rows, columns, .. } = matrix;
    let (whole, blocks) = (columns / Block16::LANES, columns.div_ceil(Block16::LANES));
    let inputs = pack(input, columns, blocks);
    let output = SharedMut::new(output);
    for (group, inputs) in inputs.chunks(INPUTS * blocks).enumerate() {
        let first = group * INPUTS;
        let count = inputs.len() / blocks;
        let is_read = |block: &usize| {
            inputs.iter().skip(*block).step_by(blocks).any(|lanes| *lanes != Block16::ZERO)
        };
        let read: Vec<usize> = (0..whole).filter(is_read).collect();
        executor.run(rows.div_ceil(TASK_ROWS), &|task| {
            let end = rows.min((task + 1) * TASK_ROWS);
            for row in (task * TASK_ROWS..end).step_by(ROWS) {
                let of = |index: usize| {
                    matrix.bytes[(row + index).min(end - 1) * matrix.row_bytes()..].as_ptr()
                };
                let mut job = Job {
                    inputs,
                    count,
                    blocks,
                    read: &read,
                    rows: std::array::from_fn(of),
                    sums: [[Block16::ZERO; INPUTS]; ROWS],
                };
                // SAFETY: the kernel is for this processor. The rows lie in the matrix, whose
                // length was checked, and `read` lists whole blocks of a row and of every input.
                unsafe { kernel(&mut job) };
                for (row, sums) in (row..end).zip(&job.sums) {
                    for (n, sum) in sums[..count].iter().enumerate() {
                        let input = &inputs[n * blocks..][..blocks];
                        let rest = (whole * Block16::LANES..columns).map(|column| {
                            let value = input[column / Block16::LANES].0[column % Block16::LANES];
                            f64::from(value) * f64::from(matrix.at(row, column))
                        });
                        // A few terms per row: 64 bits cost nothing here.
                        let lanes = sum.0.iter().map(|&lane| f64::from(lane));
                        let bias = f64::from(operands.bias_at(row));
                        let value = to_f32(lanes.chain(rest).sum::<f64>() + bias);
                        // SAFETY: tasks write disjoint rows, all inside the output.
                        unsafe { output.get().add((first + n) * rows + row).write(value) };
                    }
                }
            }
        });
    }
}

/// Packs inputs `[N, columns]` into blocks, `[N][block]`, padded with zeros.
fn pack(input: &[f32], columns: usize, blocks: usize) -> Vec<Block16> {
    let mut packed = Vec::with_capacity(input.len() / columns * blocks);
    for row in input.chunks_exact(columns) {
        for values in row.chunks(Block16::LANES) {
            let mut block = Block16::ZERO;
            block.0[..values.len()].copy_from_slice(values);
            packed.push(block);
        }
    }
    packed
}

/// Computes a job's sums.
///
/// # Safety
/// The processor has the kernel's instructions. The job's rows hold every block in `read`, and so
/// do its inputs.
pub(super) type Kernel = unsafe fn(&mut Job<'_>);

/// The kernel for an instruction set. Its const parameter is how many inputs are multiplied
/// together: as many as have room for the sums over [`ROWS`] rows in registers.
pub(super) const fn kernel_for(isa: Isa) -> Kernel {
    match isa {
        Isa::Portable => dots::<Portable, 1>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => dots::<crate::simd::aarch64::Neon, 1>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &mut Job<'_>) {
    // SAFETY: guaranteed by the caller.
    unsafe { dots::<crate::simd::x86::Avx2, 1>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(job: &mut Job<'_>) {
    // SAFETY: guaranteed by the caller.
    unsafe { dots::<crate::simd::x86::Avx512, 4>(job) }
}

/// # Safety
/// See [`Kernel`].
#[inline(always)]
unsafe fn dots<S: Simd, const MOST: usize>(job: &mut Job<'_>) {
    for (group, now) in job.read.chunks(BLOCKS_AT_ONCE).enumerate() {
        let soon = &job.read[((group + 1) * BLOCKS_AT_ONCE).min(job.read.len())..];
        let soon = &soon[..BLOCKS_AT_ONCE.min(soon.len())];
        let mut input = 0;
        while input < job.count {
            let wide = if job.count - input >= MOST { MOST } else { 1 };
            // Spread the prefetches of the rows evenly over the inputs.
            let prefetched = |input: usize| (input * ROWS).div_ceil(job.count);
            let rows = prefetched(input)..prefetched(input + wide);
            let segment = Segment { now, soon, rows, first: input };
            // SAFETY: guaranteed by the caller.
            unsafe {
                if wide == MOST {
                    accumulate::<S, MOST>(job, &segment)
                } else {
                    accumulate::<S, 1>(job, &segment)
                }
            }
            input += wide;
        }
    }
}

/// Some blocks, for some inputs.
struct Segment<'a> {
    now: &'a [usize],
    /// The blocks that come next, and the rows in which to prefetch them.
    soon: &'a [usize],
    rows: Range<usize>,
    first: usize,
}

/// Adds a segment's terms to the sums of N inputs.
///
/// # Safety
/// See [`Kernel`].
#[inline(always)]
unsafe fn accumulate<S: Simd, const N: usize>(job: &mut Job<'_>, segment: &Segment<'_>) {
    let first = segment.first;
    // SAFETY: guaranteed by the caller: rows and inputs hold the segment's blocks.
    unsafe {
        let inputs: [*const Block16; N] =
            std::array::from_fn(|n| job.inputs.as_ptr().add((first + n) * job.blocks));
        let mut sums = [[S::splat(0.0); N]; ROWS];
        for (step, &block) in segment.now.iter().enumerate() {
            if let Some(soon) = segment.soon.get(step) {
                for row in &job.rows[segment.rows.clone()] {
                    S::prefetch(row.wrapping_add(soon * BLOCK_BYTES));
                }
            }
            let inputs: [S::V; N] = std::array::from_fn(|n| S::load(inputs[n].add(block)));
            for (row, sums) in job.rows.into_iter().zip(&mut sums) {
                let weights = S::load_unaligned(row.add(block * BLOCK_BYTES));
                for (input, sum) in inputs.into_iter().zip(sums) {
                    *sum = S::mul_add(weights, input, *sum);
                }
            }
        }
        for (into, sums) in job.sums.iter_mut().zip(sums) {
            for (n, sum) in sums.into_iter().enumerate() {
                let total = &raw mut into[first + n];
                S::store(total, S::add(S::load(total), sum));
            }
        }
    }
}
