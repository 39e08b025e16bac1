//! The third step of Winograd's algorithm: 36 positions to a tile of outputs.

use super::epilogue::store_tile;
use super::jobs::OutputTransform;
use crate::conv_chain::winograd::transform_tile;
use crate::simd::Simd;

/// # Safety
/// The processor has S's instructions. `products` holds all positions of all tiles; the epilogue's
/// output holds every map of `tiles`.
#[inline(always)]
pub(super) unsafe fn transform_outputs<S: Simd>(job: &OutputTransform<'_>) {
    for (index, tile) in job.tiles.iter().enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let outputs = transform_tile::<S>(job.products.add(index), job.position_stride);
            store_tile::<S>(&job.epilogue, *tile, outputs);
        }
    }
}
