//! Runs one layer of a chain on its tiles.
//!
//! Two schedules of Winograd's algorithm, by the size of the packed weights. Small weights stay in
//! a core's cache, so each task takes a few tiles through all three steps. Large weights come from
//! memory, so all threads take many tiles through one step after another, and the weights are read
//! once for all of those tiles.

use super::geometry::{MapSize, TILE, Tile};
use super::kernels::{DirectConv, TileEpilogue};
use super::layer_task::{LayerInput, LayerTask, RunContext};
use super::types::Cancelled;
use super::weights::PackedFilters;
use super::winograd::POSITIONS;
use super::winograd_task::{LayerBuffers, WinogradTask};
use crate::block16::Block16;
use crate::executor::Executor;
use crate::shared_mut::SharedMut;

/// Packed weights of up to this many bytes stay in a core's cache. Under Miri, which would take
/// hours for more, those of two blocks are large.
const CACHED_WEIGHTS_BYTES: usize = if cfg!(miri) { 40 << 10 } else { 3 << 20 };
/// Bytes of that cache that a task's patches and products may occupy in addition.
const CACHED_SCRATCH_BYTES: usize = 640 << 10;
/// Most tiles that share one read of large weights. More tiles gain little and cost memory.
const MAX_TILES_PER_ROUND: usize = 192;
/// Tiles of one task of direct convolution.
const DIRECT_TILES: usize = 64;

impl LayerTask<'_> {
    /// Computes and copies the layer's tiles of `output`, `[map][out block][row][column]`.
    ///
    /// # Errors
    /// [`Cancelled`] when the run's flag was set.
    ///
    /// # Panics
    /// When a tile lies outside what the input or the output holds: a bug in the caller.
    pub(super) fn run(
        &self,
        output: &mut [Block16],
        executor: &dyn Executor,
        context: &RunContext<'_>,
    ) -> Result<(), Cancelled> {
        let maps = self.check(output);
        self.copy_zero_response(output, maps);
        let output = SharedMut::new(output);
        match (&self.weights.filters, self.input) {
            (PackedFilters::Direct(weights), LayerInput::Nchw(input)) => {
                self.run_direct(weights, input, output, executor, context);
            }
            (PackedFilters::Winograd(weights), LayerInput::Blocks(input)) => {
                let buffers = LayerBuffers { weights, input, output };
                if self.weights.packed_bytes() <= CACHED_WEIGHTS_BYTES {
                    self.run_tile_by_tile(buffers, executor, context);
                } else {
                    self.run_step_by_step(buffers, executor, context);
                }
            }
            _ => unreachable!("the input's layout follows from the packed filters"),
        }
        if context.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Checks every length that the kernels rely on. Returns the number of maps.
    fn check(&self, output: &[Block16]) -> usize {
        let maps = 1 + self.compute.iter().chain(self.copy).map(|tile| tile.map).max().unwrap_or(0);
        let is_inside = |tile: &Tile| {
            let tiles = self.size.tiles();
            tile.row < tiles.height && tile.column < tiles.width
        };
        assert!(self.compute.iter().chain(self.copy).all(is_inside), "a tile lies outside its map");
        assert!(
            output.len() >= maps * self.weights.out_blocks() * self.stored_size().area(),
            "the output is too short"
        );
        match self.input {
            LayerInput::Nchw(input) => {
                assert!(
                    input.len() >= maps * self.weights.in_channels * self.size.area(),
                    "the input is too short"
                );
            }
            LayerInput::Blocks(input) => {
                assert!(
                    input.len() >= maps * self.weights.in_blocks() * self.size.area(),
                    "the input is too short"
                );
            }
        }
        maps
    }

    fn copy_zero_response(&self, output: &mut [Block16], maps: usize) {
        let Some(response) = self.zero_response.filter(|_| !self.copy.is_empty()) else { return };
        let MapSize { height, width } = self.stored_size();
        let side = if self.max_pool { TILE / 2 } else { TILE };
        let area = height * width;
        let out_blocks = self.weights.out_blocks();
        debug_assert!(maps * out_blocks * area <= output.len());
        for tile in self.copy {
            let (top, left) = (side * tile.row, side * tile.column);
            let columns = left.min(width)..(left + side).min(width);
            for block in 0..out_blocks {
                let map = (tile.map * out_blocks + block) * area;
                for row in top..(top + side).min(height) {
                    let from = block * area + row * width;
                    let to = map + row * width;
                    output[to + columns.start..to + columns.end]
                        .copy_from_slice(&response[from + columns.start..from + columns.end]);
                }
            }
        }
    }

    fn run_direct(
        &self,
        weights: &[Block16],
        input: &[f32],
        output: SharedMut<Block16>,
        executor: &dyn Executor,
        context: &RunContext<'_>,
    ) {
        let channels = self.weights.in_channels;
        let tasks = self.compute.len().div_ceil(DIRECT_TILES);
        let epilogues: Vec<TileEpilogue> =
            (0..self.weights.out_blocks()).map(|block| self.epilogue(block, output)).collect();
        context.run(executor, tasks, &|task| {
            let first = task * DIRECT_TILES;
            let tiles = &self.compute[first..self.compute.len().min(first + DIRECT_TILES)];
            let job = DirectConv {
                tiles,
                input: input.as_ptr(),
                channels,
                weights: weights.as_ptr(),
                epilogues: &epilogues,
                size: self.size,
            };
            // SAFETY: `check` has checked both buffers; no two tasks share a tile.
            unsafe { (context.kernels.convolve_direct)(&job) };
        });
    }

    /// The tiles of one of `chunks` chunks of similar size, so that no chunk has only a few.
    fn chunk(&self, index: usize, chunks: usize) -> &[Tile] {
        let count = self.compute.len();
        &self.compute[index * count / chunks..(index + 1) * count / chunks]
    }

    fn with_winograd_task(
        &self,
        buffers: LayerBuffers<'_>,
        tiles: &[Tile],
        context: &RunContext<'_>,
        work: impl FnOnce(&WinogradTask<'_>),
    ) {
        context.with_scratch(WinogradTask::scratch_blocks(self, tiles), |scratch| {
            work(&WinogradTask::new(self, buffers, tiles, scratch, context.kernels));
        });
    }

    /// Each task takes some tiles through all three steps.
    fn run_tile_by_tile(
        &self,
        buffers: LayerBuffers<'_>,
        executor: &dyn Executor,
        context: &RunContext<'_>,
    ) {
        let (ins, outs) = (self.weights.in_blocks(), self.weights.out_blocks());
        let room = CACHED_SCRATCH_BYTES / (POSITIONS * (ins + outs) * size_of::<Block16>());
        let most = (room / 12 * 12).clamp(12, 96);
        let chunks = self.compute.len().div_ceil(most);
        context.run(executor, chunks, &|chunk| {
            self.with_winograd_task(buffers, self.chunk(chunk, chunks), context, |task| {
                (0..ins).for_each(|block| task.transform_inputs(block));
                (0..POSITIONS).for_each(|position| task.multiply(position, 0..outs));
                (0..outs).for_each(|block| task.transform_outputs(block));
            });
        });
    }

    /// All threads take many tiles through one step, then through the next.
    fn run_step_by_step(
        &self,
        buffers: LayerBuffers<'_>,
        executor: &dyn Executor,
        context: &RunContext<'_>,
    ) {
        let (ins, outs) = (self.weights.in_blocks(), self.weights.out_blocks());
        // Each thread takes its share of the out blocks. Pairs stay together, since the product
        // processes two at a time.
        let shares = if outs >= 2 * executor.threads() { executor.threads() } else { 1 };
        let cut = |share: usize| (outs.div_ceil(2) * share / shares * 2).min(outs);
        let rounds = self.compute.len().div_ceil(MAX_TILES_PER_ROUND);
        for round in (0..rounds).take_while(|_| !context.is_cancelled()) {
            self.with_winograd_task(buffers, self.chunk(round, rounds), context, |task| {
                context.run(executor, ins, &|block| task.transform_inputs(block));
                context.run(executor, POSITIONS * shares, &|index| {
                    let (position, share) = (index / shares, index % shares);
                    task.multiply(position, cut(share)..cut(share + 1));
                });
                context.run(executor, outs, &|block| task.transform_outputs(block));
            });
        }
    }
}
