//! The second step of Winograd's algorithm: at each position, a matrix product over channels.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges whose indices mirror the equations"
)]

use super::jobs::PositionProduct;
use crate::block16::Block16;
use crate::simd::Simd;

/// Computes `BLOCKS` out blocks of `TILES` tiles, starting at out block `block` and tile `first`.
///
/// All `BLOCKS · TILES` sums stay in registers, so both are as large as the register file allows.
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
        let mut sums = [[S::splat(0.0); TILES]; BLOCKS];
        let mut weights = job.weights.add(block * channels);
        for in_block in 0..job.in_blocks {
            let patches: *const f32 = job.patches.add(in_block * job.patches_stride + first).cast();
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
                S::store(to.add(t), *sum);
            }
        }
    }
}
