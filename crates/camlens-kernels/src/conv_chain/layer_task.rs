//! One layer of a chain and the tiles that it computes and copies: the data of a layer's run.

use std::sync::atomic::{AtomicBool, Ordering};

use super::buffers::{BufferPool, ensure_len};
use super::geometry::{MapSize, Tile};
use super::kernels::{ConvKernels, TileEpilogue};
use super::weights::ConvWeights;
use crate::block16::Block16;
use crate::executor::Executor;
use crate::shared_mut::SharedMut;

/// A layer's input, in the layout that its algorithm reads.
#[derive(Clone, Copy)]
pub(super) enum LayerInput<'a> {
    /// `[map][channel][row][column]`, for direct convolution.
    Nchw(&'a [f32]),
    /// `[map][channel block][row][column]`, for Winograd's algorithm.
    Blocks(&'a [Block16]),
}

/// The work of one layer.
pub(super) struct LayerTask<'a> {
    pub(super) weights: &'a ConvWeights,
    pub(super) relu: bool,
    /// Pool in the epilogue, and store the pooled output.
    pub(super) max_pool: bool,
    /// Size of the convolution's input and output.
    pub(super) size: MapSize,
    pub(super) input: LayerInput<'a>,
    /// Tiles to compute.
    pub(super) compute: &'a [Tile],
    /// Tiles to copy from the zero response.
    pub(super) copy: &'a [Tile],
    /// The layer's stored output for an all-zero image: `[1][out block][row][column]`.
    pub(super) zero_response: Option<&'a [Block16]>,
}

impl LayerTask<'_> {
    /// Size of the stored output.
    pub(super) fn stored_size(&self) -> MapSize {
        if self.max_pool { self.size.pooled() } else { self.size }
    }

    /// The epilogue of one out block's tiles. `output` holds every map of the layer.
    pub(super) fn epilogue(&self, block: usize, output: SharedMut<Block16>) -> TileEpilogue {
        let area = self.stored_size().area();
        TileEpilogue {
            bias: self.weights.bias[block],
            relu: self.relu,
            max_pool: self.max_pool,
            size: self.size,
            output: output.get().wrapping_add(block * area),
            map_stride: self.weights.out_blocks() * area,
        }
    }
}

/// What every layer of a run shares.
pub(super) struct RunContext<'a> {
    pub(super) kernels: ConvKernels,
    pub(super) cancel: &'a AtomicBool,
    pub(super) scratch: &'a BufferPool,
}

impl RunContext<'_> {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Runs tasks; none starts once the run is cancelled.
    pub(super) fn run(&self, executor: &dyn Executor, count: usize, task: &(dyn Fn(usize) + Sync)) {
        executor.run(count, &|index| {
            if !self.is_cancelled() {
                task(index);
            }
        });
    }

    /// Calls `work` with a scratch buffer of unspecified contents.
    pub(super) fn with_scratch(&self, blocks: usize, work: impl FnOnce(&mut [Block16])) {
        let mut buffer = self.scratch.take();
        ensure_len(&mut buffer, blocks);
        work(&mut buffer[..blocks]);
        self.scratch.put(buffer);
    }
}
