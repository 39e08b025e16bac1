//! The second step of Winograd's algorithm: at each position, a matrix product over channels.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges whose indices mirror the equations"
)]

use std::mem::MaybeUninit;

use super::jobs::PositionProduct;
use crate::block16::Block16;
use crate::simd::Simd;

/// In blocks whose terms are summed up in registers: 32 channels. These partial sums are added in
/// pairs, the sums of pairs in pairs, and so on. The rounding error of a sum grows with the number
/// of additions that a term goes through, and this way they are few at no extra cost.
const BLOCKS_PER_PARTIAL_SUM: usize = 2;

/// Levels of pairs: enough for 2¹¹ partial sums, or 65,536 channels. More channels would be added
/// at the last level, one after another.
const LEVELS: usize = 12;

/// Computes `BLOCKS` out blocks of `TILES` tiles, starting at out block `block` and tile `first`.
///
/// All `BLOCKS · TILES` partial sums stay in registers, so both are as large as the register file
/// allows. The sums of pairs wait for each other in the first-level cache.
///
/// # Safety
/// The processor has S's instructions. The job's buffers are as long as its strides say.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, const BLOCKS: usize, const TILES: usize>(
    job: &PositionProduct,
    block: usize,
    first: usize,
) {
    // SAFETY: guaranteed by the caller. A level of `waiting` is read only where the bit of
    // `index` or `partial_sums` says that it was written.
    unsafe {
        let channels = job.in_blocks * Block16::LANES;
        let mut weights = job.weights.add(block * channels);
        let mut waiting = [[[const { MaybeUninit::<Block16>::uninit() }; TILES]; BLOCKS]; LEVELS];
        let partial_sums = job.in_blocks.div_ceil(BLOCKS_PER_PARTIAL_SUM);
        for index in 0..partial_sums {
            let from = index * BLOCKS_PER_PARTIAL_SUM;
            let mut sums = [[S::splat(0.0); TILES]; BLOCKS];
            for in_block in from..job.in_blocks.min(from + BLOCKS_PER_PARTIAL_SUM) {
                let patches: *const f32 =
                    job.patches.add(in_block * job.patches_stride + first).cast();
                for lane in 0..Block16::LANES {
                    let mut columns = [S::splat(0.0); BLOCKS];
                    for (b, column) in columns.iter_mut().enumerate() {
                        *column = S::load(weights.add(b * channels));
                    }
                    for t in 0..TILES {
                        let value = S::splat(*patches.add(t * Block16::LANES + lane));
                        for b in 0..BLOCKS {
                            sums[b][t] = S::mul_add(columns[b], value, sums[b][t]);
                        }
                    }
                    weights = weights.add(1);
                }
            }
            let mut level = 0;
            while level + 1 < LEVELS && index >> level & 1 == 1 {
                add_waiting::<S, BLOCKS, TILES>(&waiting[level], &mut sums);
                level += 1;
            }
            if level + 1 == LEVELS && index >> level != 0 {
                add_waiting::<S, BLOCKS, TILES>(&waiting[level], &mut sums);
            }
            for (waiting, sums) in waiting[level].iter_mut().zip(&sums) {
                for (waiting, sum) in waiting.iter_mut().zip(sums) {
                    S::store(waiting.as_mut_ptr(), *sum);
                }
            }
        }
        let mut sums = [[S::splat(0.0); TILES]; BLOCKS];
        for level in 0..LEVELS {
            let is_last = level + 1 == LEVELS && partial_sums >> level != 0;
            if partial_sums >> level & 1 == 1 || is_last {
                add_waiting::<S, BLOCKS, TILES>(&waiting[level], &mut sums);
            }
        }
        for (b, line) in sums.iter().enumerate() {
            let to = job.products.add((block + b) * job.products_stride + first);
            for (t, sum) in line.iter().enumerate() {
                S::store(to.add(t), *sum);
            }
        }
    }
}

/// Adds the sums that wait at a level.
///
/// # Safety
/// The processor has S's instructions. The level was written.
#[inline(always)]
unsafe fn add_waiting<S: Simd, const BLOCKS: usize, const TILES: usize>(
    waiting: &[[MaybeUninit<Block16>; TILES]; BLOCKS],
    sums: &mut [[S::V; TILES]; BLOCKS],
) {
    for (waiting, sums) in waiting.iter().zip(sums) {
        for (waiting, sum) in waiting.iter().zip(sums) {
            // SAFETY: guaranteed by the caller.
            unsafe { *sum = S::add(S::load(waiting.as_ptr()), *sum) };
        }
    }
}
