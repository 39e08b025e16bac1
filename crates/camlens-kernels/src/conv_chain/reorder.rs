//! Conversions between `[N, C, H, W]` and the chain's blocked layout `[N, C/16, H, W, 16]`.

use super::geometry::MapSize;
use super::types::Batch;
use crate::block16::Block16;
use crate::executor::Executor;
use crate::shared_mut::SharedMut;

/// Reorders `[N, C, H, W]` to `[N, C/16, H, W, 16]`; missing channels of the last block are zero.
pub(super) fn nchw_to_blocks(
    batch: Batch<'_>,
    channels: usize,
    blocks: &mut [Block16],
    executor: &dyn Executor,
) {
    let area = batch.height * batch.width;
    let per_map = Block16::count_for(channels);
    assert!(blocks.len() >= batch.images * per_map * area, "the buffer is too short");
    let blocks = SharedMut::new(blocks);
    executor.run(batch.images * per_map, &|task| {
        let (map, block) = (task / per_map, task % per_map);
        // SAFETY: each task writes a channel block of its own, inside the buffer.
        let to = unsafe { std::slice::from_raw_parts_mut(blocks.get().add(task * area), area) };
        let planes = &batch.data[map * channels * area..(map + 1) * channels * area];
        let first = block * Block16::LANES;
        let count = Block16::LANES.min(channels - first);
        for (position, lanes) in to.iter_mut().enumerate() {
            *lanes = Block16(std::array::from_fn(|lane| {
                if lane < count { planes[(first + lane) * area + position] } else { 0.0 }
            }));
        }
    });
}

/// Positions that are transposed at a time.
const POSITIONS_AT_ONCE: usize = 64;

/// Reorders `[N, C/16, H, W, 16]` to `[N, C, H, W]`.
pub(super) fn blocks_to_nchw(
    blocks: &[Block16],
    size: MapSize,
    channels: usize,
    planes: &mut [f32],
    executor: &dyn Executor,
) {
    let area = size.area();
    let per_map = Block16::count_for(channels);
    let maps = planes.len() / (channels * area).max(1);
    let planes = SharedMut::new(planes);
    executor.run(maps * per_map, &|task| {
        let (map, block) = (task / per_map, task % per_map);
        let from = &blocks[task * area..(task + 1) * area];
        let first = block * Block16::LANES;
        let count = Block16::LANES.min(channels - first);
        // A few positions of all channels at a time: each block is read once, and the cache lines
        // being written stay in the cache.
        for (chunk, positions) in from.chunks(POSITIONS_AT_ONCE).enumerate() {
            for lane in 0..count {
                let start = (map * channels + first + lane) * area + chunk * POSITIONS_AT_ONCE;
                // SAFETY: tasks write disjoint channels, all inside the planes.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(planes.get().add(start), positions.len())
                };
                for (value, lanes) in to.iter_mut().zip(positions) {
                    *value = lanes.0[lane];
                }
            }
        }
    });
}

/// 2×2 max pooling with stride 2 of `maps` blocked maps.
pub(super) fn max_pool_2x2(
    from: &[Block16],
    size: MapSize,
    maps: usize,
    to: &mut [Block16],
    executor: &dyn Executor,
) {
    let pooled = size.pooled();
    assert!(to.len() >= maps * pooled.area(), "the pooled maps are too short");
    let to = SharedMut::new(to);
    executor.run(maps, &|map| {
        let from = &from[map * size.area()..(map + 1) * size.area()];
        let start = map * pooled.area();
        // SAFETY: each task writes a map of its own, inside the buffer.
        let to = unsafe { std::slice::from_raw_parts_mut(to.get().add(start), pooled.area()) };
        for (position, value) in to.iter_mut().enumerate() {
            let corner = 2 * (position / pooled.width) * size.width + 2 * (position % pooled.width);
            let at = |offset: usize, lane: usize| from[corner + offset].0[lane];
            *value = Block16(std::array::from_fn(|lane| {
                let above = at(0, lane).max(at(1, lane));
                above.max(at(size.width, lane).max(at(size.width + 1, lane)))
            }));
        }
    });
}
