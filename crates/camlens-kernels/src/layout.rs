//! From the outer world's layout of maps to that of the kernels, and back.

use crate::chain::Batch;
use crate::lanes::Lanes;
use crate::loops::Size;
use crate::pool::{Pool, Shared};

/// `[map][channel][place]` to `[map][channel block][place]`, channels that are missing as zeros.
pub(crate) fn to_blocks(
    batch: Batch<'_>,
    channels: usize,
    blocks: &mut [Lanes],
    threads: &dyn Pool,
) {
    let area = batch.height * batch.width;
    let per_map = Lanes::blocks(channels);
    assert!(blocks.len() >= batch.images * per_map * area, "a short buffer");
    let blocks = Shared::new(blocks);
    threads.run(batch.images * per_map, &|piece| {
        let (map, block) = (piece / per_map, piece % per_map);
        // SAFETY: every piece has a block of its own, inside the buffer.
        let to = unsafe { std::slice::from_raw_parts_mut(blocks.get().add(piece * area), area) };
        let planes = &batch.data[map * channels * area..(map + 1) * channels * area];
        let first = block * Lanes::COUNT;
        let count = Lanes::COUNT.min(channels - first);
        for (place, lanes) in to.iter_mut().enumerate() {
            *lanes = Lanes(std::array::from_fn(|lane| {
                if lane < count { planes[(first + lane) * area + place] } else { 0.0 }
            }));
        }
    });
}

/// Places that are brought to planes at a time.
const PLACES: usize = 64;

/// `[map][channel block][place]` to `[map][channel][place]`.
pub(crate) fn to_planes(
    blocks: &[Lanes],
    size: Size,
    channels: usize,
    planes: &mut [f32],
    threads: &dyn Pool,
) {
    let area = size.area();
    let per_map = Lanes::blocks(channels);
    let maps = planes.len() / (channels * area).max(1);
    let planes = Shared::new(planes);
    threads.run(maps * per_map, &|piece| {
        let (map, block) = (piece / per_map, piece % per_map);
        let from = &blocks[piece * area..(piece + 1) * area];
        let first = block * Lanes::COUNT;
        let count = Lanes::COUNT.min(channels - first);
        // A few places of all channels at a time: the blocks are read once, and the lines written
        // stay at hand.
        for (chunk, places) in from.chunks(PLACES).enumerate() {
            for lane in 0..count {
                let start = (map * channels + first + lane) * area + chunk * PLACES;
                // SAFETY: every piece has channels of its own, inside the planes.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(planes.get().add(start), places.len())
                };
                for (value, lanes) in to.iter_mut().zip(places) {
                    *value = lanes.0[lane];
                }
            }
        }
    });
}

/// The 2×2 maximum with stride 2 of so many maps of blocks.
pub(crate) fn pool_maps(from: &[Lanes], size: Size, maps: usize, to: &mut [Lanes]) {
    let pooled = size.pooled();
    for map in 0..maps {
        let from = &from[map * size.area()..(map + 1) * size.area()];
        let to = &mut to[map * pooled.area()..(map + 1) * pooled.area()];
        for (place, value) in to.iter_mut().enumerate() {
            let corner = 2 * (place / pooled.width) * size.width + 2 * (place % pooled.width);
            let at = |step: usize, lane: usize| from[corner + step].0[lane];
            *value = Lanes(std::array::from_fn(|lane| {
                let above = at(0, lane).max(at(1, lane));
                above.max(at(size.width, lane).max(at(size.width + 1, lane)))
            }));
        }
    }
}
