//! The first step of Winograd's algorithm: input patches to 36 positions.

use super::jobs::InputTransform;
use crate::block16::Block16;
use crate::conv_chain::geometry::{MapSize, PATCH, TILE};
use crate::conv_chain::winograd::transform_patch;
use crate::simd::Simd;

/// # Safety
/// The processor has S's instructions. `input` holds every map of `tiles` at `size`; `scratch`
/// holds a block for each position and tile.
#[inline(always)]
pub(super) unsafe fn transform_inputs<S: Simd>(job: &InputTransform<'_>) {
    let MapSize { height, width } = job.size;
    for (index, tile) in job.tiles.iter().enumerate() {
        // SAFETY: guaranteed by the caller; rows and columns outside the map are not read.
        unsafe {
            let map = job.input.add(tile.map * job.map_stride);
            // The patch starts one row and one column before its tile.
            let (row, column) = (TILE * tile.row, TILE * tile.column);
            let is_inside =
                row > 0 && column > 0 && row + PATCH - 1 <= height && column + PATCH - 1 <= width;
            let patch = if is_inside {
                let corner = map.add((row - 1) * width + column - 1);
                transform_patch::<S>(
                    #[inline(always)]
                    |y, x| S::load(corner.add(y * width + x)),
                )
            } else {
                let mut padded = [[Block16::ZERO; PATCH]; PATCH];
                for (y, line) in
                    padded.iter_mut().enumerate().filter(|(y, _)| (1..=height).contains(&(row + y)))
                {
                    for (x, position) in line.iter_mut().enumerate() {
                        if (1..=width).contains(&(column + x)) {
                            *position = *map.add((row + y - 1) * width + column + x - 1);
                        }
                    }
                }
                transform_patch::<S>(
                    #[inline(always)]
                    |y, x| S::load(&raw const padded[y][x]),
                )
            };
            for (y, line) in patch.iter().enumerate() {
                for (x, value) in line.iter().enumerate() {
                    S::store(
                        job.scratch.add((PATCH * y + x) * job.strides.position + index),
                        *value,
                    );
                }
            }
        }
    }
}
