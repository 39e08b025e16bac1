//! The second step of Winograd's algorithm: at each position, a matrix product over channels.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges whose indices mirror the equations"
)]

use super::jobs::PositionProduct;
use crate::block16::Block16;
use crate::simd::Simd;

/// In blocks whose terms are summed up in registers before they are added to the total: 32
/// channels. The rounding error of a sum grows with the number of its terms, so sums of partial
/// sums are more exact than one running sum over all channels.
const BLOCKS_PER_PARTIAL_SUM: usize = 2;

/// Computes `BLOCKS` out blocks of `TILES` tiles, starting at out block `block` and tile `first`.
///
/// All `BLOCKS · TILES` partial sums stay in registers, so both are as large as the register file
/// allows. The totals are in the job's products, which the first-level cache holds.
///
/// # Safety
/// The processor has S's instructions. The job's buffers are as long as its strides say.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, const BLOCKS: usize, const TILES: usize>(
    job: &PositionProduct,
    block: usize,
    first: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let channels = job.in_blocks * Block16::LANES;
        let mut weights = job.weights.add(block * channels);
        let mut from = 0;
        while from < job.in_blocks {
            let end = job.in_blocks.min(from + BLOCKS_PER_PARTIAL_SUM);
            let mut sums = [[S::splat(0.0); TILES]; BLOCKS];
            for in_block in from..end {
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
            for (b, line) in sums.iter().enumerate() {
                let to = job.products.add((block + b) * job.products_stride + first);
                for (t, sum) in line.iter().enumerate() {
                    let total = if from == 0 { *sum } else { S::add(S::load(to.add(t)), *sum) };
                    S::store(to.add(t), total);
                }
            }
            from = end;
        }
    }
}
