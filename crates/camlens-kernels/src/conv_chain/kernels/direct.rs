//! Direct convolution, for layers of few input channels such as a network's first.

use super::epilogue::store_tile;
use super::jobs::{DirectConv, MAX_DIRECT_CHANNELS};
use crate::conv_chain::geometry::{MapSize, PATCH, TILE};
use crate::simd::Simd;

/// Channels whose terms are summed up before they are added to the total: 9 terms. Later layers
/// inherit a first layer's rounding errors, and over flat areas all of them have the same sign.
const CHANNELS_PER_PARTIAL_SUM: usize = 1;

/// # Safety
/// The processor has S's instructions. `input` holds every map of `tiles`, `weights` nine blocks
/// for each channel and out block; there are at most [`MAX_DIRECT_CHANNELS`] channels.
#[inline(always)]
pub(super) unsafe fn convolve_direct<S: Simd>(job: &DirectConv<'_>) {
    let MapSize { height, width } = job.size;
    for tile in job.tiles {
        let (row, column) = (TILE * tile.row, TILE * tile.column);
        // Positions outside the map stay zero: they are the same in every channel.
        let mut patch = [[[0.0_f32; PATCH]; PATCH]; MAX_DIRECT_CHANNELS];
        let rows = row.saturating_sub(1)..(row + PATCH - 1).min(height);
        let (left, right) = (column.saturating_sub(1), (column + PATCH - 1).min(width));
        for (channel, plane) in patch.iter_mut().enumerate().take(job.channels) {
            for from in rows.clone() {
                // SAFETY: guaranteed by the caller, for rows and columns inside the map.
                let line = unsafe {
                    let map = job.input.add((tile.map * job.channels + channel) * height * width);
                    std::slice::from_raw_parts(map.add(from * width + left), right - left)
                };
                plane[from + 1 - row][left + 1 - column..right + 1 - column].copy_from_slice(line);
            }
        }
        for (block, epilogue) in job.epilogues.iter().enumerate() {
            // SAFETY: guaranteed by the caller.
            unsafe {
                let mut totals = [[S::splat(0.0); TILE]; TILE];
                let mut sums = totals;
                for (channel, plane) in patch.iter().enumerate().take(job.channels) {
                    if channel > 0 && channel.is_multiple_of(CHANNELS_PER_PARTIAL_SUM) {
                        add_tile::<S>(&mut totals, sums);
                        sums = [[S::splat(0.0); TILE]; TILE];
                    }
                    let weights = job.weights.add(9 * (block * job.channels + channel));
                    for filter_y in 0..3 {
                        for filter_x in 0..3 {
                            let weight = S::load(weights.add(3 * filter_y + filter_x));
                            for y in 0..TILE {
                                for x in 0..TILE {
                                    let value = S::splat(plane[y + filter_y][x + filter_x]);
                                    sums[y][x] = S::mul_add(weight, value, sums[y][x]);
                                }
                            }
                        }
                    }
                }
                if job.channels > CHANNELS_PER_PARTIAL_SUM {
                    add_tile::<S>(&mut totals, sums);
                    sums = totals;
                }
                store_tile::<S>(epilogue, *tile, sums);
            }
        }
    }
}

/// Adds a tile of sums to the totals.
///
/// # Safety
/// The processor has S's instructions.
#[inline(always)]
unsafe fn add_tile<S: Simd>(totals: &mut [[S::V; TILE]; TILE], sums: [[S::V; TILE]; TILE]) {
    for (total, sum) in totals.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        // SAFETY: guaranteed by the caller.
        *total = unsafe { S::add(*total, *sum) };
    }
}
