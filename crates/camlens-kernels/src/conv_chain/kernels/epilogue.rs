//! The end of every convolution: bias, ReLU, max pooling, and the store of a tile.

use super::jobs::TileEpilogue;
use crate::conv_chain::geometry::{MapSize, TILE, Tile};
use crate::simd::Simd;

/// Applies the epilogue to a tile of outputs and stores the part of it that lies inside the map.
///
/// # Safety
/// The processor has S's instructions. The output holds the tile's map.
#[inline(always)]
pub(super) unsafe fn store_tile<S: Simd>(
    job: &TileEpilogue,
    tile: Tile,
    mut outputs: [[S::V; TILE]; TILE],
) {
    // SAFETY: guaranteed by the caller; nothing outside the map is written.
    unsafe {
        let (bias, zero) = (S::load(&raw const job.bias), S::splat(0.0));
        for value in outputs.as_flattened_mut() {
            *value = S::add(*value, bias);
            if job.relu {
                *value = S::max(zero, *value);
            }
        }
        let map = job.output.add(tile.map * job.map_stride);
        let (row, column) = (TILE * tile.row, TILE * tile.column);
        if job.max_pool {
            let MapSize { height, width } = job.size.pooled();
            for y in 0..TILE / 2 {
                for x in 0..TILE / 2 {
                    if row / 2 + y < height && column / 2 + x < width {
                        let above = S::max(outputs[2 * y][2 * x], outputs[2 * y][2 * x + 1]);
                        let below =
                            S::max(outputs[2 * y + 1][2 * x], outputs[2 * y + 1][2 * x + 1]);
                        S::store(
                            map.add((row / 2 + y) * width + column / 2 + x),
                            S::max(above, below),
                        );
                    }
                }
            }
        } else {
            let MapSize { height, width } = job.size;
            for (y, line) in outputs.iter().enumerate().filter(|(y, _)| row + y < height) {
                for (x, value) in line.iter().enumerate().filter(|(x, _)| column + x < width) {
                    S::store(map.add((row + y) * width + column + x), *value);
                }
            }
        }
    }
}
