//! One pass through a chain: every layer in order, through reused buffers.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::buffers::{BufferPool, ensure_len};
use super::geometry::Tile;
use super::layer_task::{LayerInput, LayerTask, RunContext};
use super::near_ties::ExactLayer;
use super::reorder::{blocks_to_nchw, max_pool_2x2, nchw_to_blocks};
use super::repeats::{LayerRepeats, copy_repeats};
use super::sparsity::{LayerTraits, TilePlan};
use super::types::{Batch, Cancelled, ChainOutput, ConvLayer, FloatBytes};
use super::weights::PackedFilters;
use crate::block16::Block16;
use crate::executor::Executor;

/// Layers with at least this many tiles per image run image by image: their maps are large and
/// their weights small. The others run on the whole batch, which shares one read of large weights.
const IMAGE_BY_IMAGE_TILES: usize = 256;

/// What every layer stores for an all-zero image: `[1][out block][row][column]` per layer.
pub(super) type ZeroResponse = Vec<Vec<Block16>>;

/// The requested outputs, each with the slice that it is written to.
pub(super) type Outputs<'t> = [(ChainOutput, &'t mut [f32])];

/// One pass through a chain.
pub(super) struct ChainRun<'a> {
    pub(super) layers: &'a [ConvLayer],
    pub(super) traits: &'a [LayerTraits],
    /// For each image, for each layer.
    pub(super) plans: &'a [Vec<TilePlan>],
    pub(super) zero_response: Option<&'a ZeroResponse>,
    /// For each image, for each layer; empty where equal patches may have different outputs.
    pub(super) repeats: &'a [Vec<LayerRepeats>],
    /// Every layer's filters, where near ties in pooling windows are to be settled.
    pub(super) filters: Option<&'a [&'a [FloatBytes]]>,
    /// How many values were computed again to settle near ties.
    pub(super) settled: AtomicUsize,
    pub(super) near_ties: AtomicUsize,
    pub(super) open_gates: AtomicUsize,
    pub(super) maps: &'a BufferPool,
    pub(super) context: RunContext<'a>,
    pub(super) executor: &'a dyn Executor,
}

impl ChainRun<'_> {
    /// Runs all layers on a batch and writes the requested outputs.
    pub(super) fn run(&self, batch: Batch<'_>, outputs: &mut Outputs<'_>) -> Result<(), Cancelled> {
        let layers = self.traits.len();
        let is_small = |traits: &LayerTraits| {
            let tiles = traits.size.tiles();
            tiles.height * tiles.width < IMAGE_BY_IMAGE_TILES
        };
        let split = self.traits.iter().position(is_small).unwrap_or(layers);
        let mut between = self.maps.take();
        if split > 0 {
            let blocks = self.stored_blocks(split - 1);
            ensure_len(&mut between, batch.images * blocks);
            let image_len = batch.data.len() / batch.images.max(1);
            for (image, planes) in batch.data.chunks_exact(image_len.max(1)).enumerate() {
                let one = Batch { data: planes, images: 1, ..batch };
                let to = &mut between[image * blocks..(image + 1) * blocks];
                self.run_layers(0..split, ChainInput::Nchw(one), image..image + 1, to, outputs)?;
            }
        }
        let result = if split < layers {
            let mut last = self.maps.take();
            ensure_len(&mut last, batch.images * self.stored_blocks(layers - 1));
            let input =
                if split > 0 { ChainInput::Blocks(&between) } else { ChainInput::Nchw(batch) };
            let images = 0..batch.images;
            let result = self.run_layers(split..layers, input, images, &mut last, outputs);
            self.maps.put(last);
            result
        } else {
            Ok(())
        };
        self.maps.put(between);
        result
    }

    /// Runs some layers on some images. The last layer's output goes to `last`, requested ones to
    /// `outputs` too.
    fn run_layers(
        &self,
        range: Range<usize>,
        input: ChainInput<'_>,
        images: Range<usize>,
        last: &mut [Block16],
        outputs: &mut Outputs<'_>,
    ) -> Result<(), Cancelled> {
        let mut from = self.maps.take();
        let mut to = self.maps.take();
        let mut unpooled = self.maps.take();
        let mut result = Ok(());
        for index in range.clone() {
            let layer = &self.layers[index];
            let traits = self.traits[index];
            let input = match input {
                _ if index > range.start => LayerInput::Blocks(&from),
                ChainInput::Blocks(blocks) => LayerInput::Blocks(blocks),
                ChainInput::Nchw(batch) => match &layer.weights.filters {
                    PackedFilters::Direct(_) => LayerInput::Nchw(batch.data),
                    PackedFilters::Winograd(_) => {
                        ensure_len(
                            &mut from,
                            batch.images * layer.weights.in_blocks() * traits.size.area(),
                        );
                        nchw_to_blocks(batch, layer.weights.in_channels, &mut from, self.executor);
                        LayerInput::Blocks(&from)
                    }
                },
            };
            let task = LayerTask {
                weights: &layer.weights,
                relu: layer.relu,
                max_pool: traits.pools_in_epilogue(),
                size: traits.size,
                input,
                compute: &self.tiles(index, &images, |plan| &plan.compute),
                copy: &self.tiles(index, &images, |plan| &plan.copy),
                zero_response: self.zero_response.map(|response| response[index].as_slice()),
            };
            let next = if index + 1 == range.end {
                &mut *last
            } else {
                ensure_len(&mut to, images.len() * self.stored_blocks(index));
                &mut to[..]
            };
            let stored = if traits.is_output_before_pooling {
                ensure_len(
                    &mut unpooled,
                    images.len() * layer.weights.out_blocks() * traits.size.area(),
                );
                &mut unpooled[..]
            } else {
                &mut *next
            };
            result = task.run(stored, self.executor, &self.context);
            if result.is_err() {
                break;
            }
            let pooled = task.max_pool;
            self.copy_repeats(ChainOutput { layer: index, pooled }, stored, &images);
            if traits.is_output_before_pooling {
                self.settle_near_ties(index, input, stored, &images);
            }
            self.write_outputs(ChainOutput { layer: index, pooled }, stored, &images, outputs);
            if traits.is_output_before_pooling {
                let maps = images.len() * layer.weights.out_blocks();
                max_pool_2x2(&unpooled, traits.size, maps, next, self.executor);
                let at = ChainOutput { layer: index, pooled: true };
                self.copy_repeats(at, next, &images);
                self.write_outputs(at, next, &images, outputs);
            }
            std::mem::swap(&mut from, &mut to);
        }
        [from, to, unpooled].into_iter().for_each(|buffer| self.maps.put(buffer));
        result
    }

    /// Gives the positions of a layer's stored maps that repeat earlier ones their values.
    fn copy_repeats(&self, at: ChainOutput, stored: &mut [Block16], images: &Range<usize>) {
        if self.repeats.is_empty() {
            return;
        }
        let size = self.traits[at.layer].size;
        let area = if at.pooled { size.pooled() } else { size }.area();
        let len = self.layers[at.layer].weights.out_blocks() * area;
        for (maps, repeats) in
            stored.chunks_exact_mut(len.max(1)).zip(&self.repeats[images.clone()])
        {
            let LayerRepeats { unpooled, pooled } = &repeats[at.layer];
            let repeats = if at.pooled { pooled } else { unpooled };
            copy_repeats(repeats, maps, area, self.executor);
        }
    }

    /// Computes the values of near ties in a layer's unpooled maps again.
    fn settle_near_ties(
        &self,
        index: usize,
        input: LayerInput<'_>,
        unpooled: &mut [Block16],
        images: &Range<usize>,
    ) {
        let Some(filters) = self.filters else { return };
        let ConvLayer { weights, relu, .. } = &self.layers[index];
        let size = self.traits[index].size;
        let layer = ExactLayer { weights, filters: filters[index], relu: *relu, size, input };
        let len = weights.out_blocks() * size.area();
        for (map, image) in images.clone().enumerate() {
            let repeats = self.repeats.get(image).map_or(&[][..], |of| &of[index].unpooled);
            let unpooled = &mut unpooled[map * len..(map + 1) * len];
            let doubts = layer.settle(map, unpooled, repeats, self.executor);
            self.open_gates.fetch_add(doubts.open_gates, Ordering::Relaxed);
            self.near_ties.fetch_add(doubts.near_ties, Ordering::Relaxed);
            if doubts.settled > 0 {
                copy_repeats(repeats, unpooled, size.area(), self.executor);
                self.settled.fetch_add(doubts.settled, Ordering::Relaxed);
            }
        }
    }

    /// A layer's tiles of one kind for these images, numbered as the maps of this run.
    fn tiles(
        &self,
        layer: usize,
        images: &Range<usize>,
        kind: fn(&TilePlan) -> &Vec<Tile>,
    ) -> Vec<Tile> {
        let of_map = |(map, plans): (usize, &Vec<TilePlan>)| {
            let in_map = move |tile: &Tile| Tile { map, ..*tile };
            kind(&plans[layer]).iter().map(in_map).collect::<Vec<_>>()
        };
        self.plans[images.clone()].iter().enumerate().flat_map(of_map).collect()
    }

    /// Runs one image through all layers and returns what each of them stores.
    pub(super) fn run_and_store_all(&self, batch: Batch<'_>) -> Result<ZeroResponse, Cancelled> {
        let mut response: ZeroResponse = Vec::with_capacity(self.traits.len());
        for index in 0..self.traits.len() {
            let mut stored = vec![Block16::ZERO; self.stored_blocks(index)];
            let input = response
                .last()
                .map_or(ChainInput::Nchw(batch), |blocks| ChainInput::Blocks(blocks));
            self.run_layers(index..index + 1, input, 0..1, &mut stored, &mut [])?;
            response.push(stored);
        }
        Ok(response)
    }

    /// Blocks of one image that a layer passes to the next.
    fn stored_blocks(&self, index: usize) -> usize {
        let layer = &self.layers[index];
        layer.weights.out_blocks() * layer.output_size(self.traits[index].size).area()
    }

    /// Writes a layer's maps to every request for them.
    fn write_outputs(
        &self,
        at: ChainOutput,
        blocks: &[Block16],
        images: &Range<usize>,
        outputs: &mut Outputs<'_>,
    ) {
        let layer = &self.layers[at.layer];
        let size = self.traits[at.layer].size;
        let size = if at.pooled { size.pooled() } else { size };
        let channels = layer.weights.out_channels;
        let len = channels * size.area();
        for (output, to) in outputs.iter_mut().filter(|(output, _)| output.layer == at.layer) {
            if !layer.max_pool || output.pooled == at.pooled {
                let to = &mut to[images.start * len..images.end * len];
                blocks_to_nchw(blocks, size, channels, to, self.executor);
            }
        }
    }
}

/// The input of a range of layers.
#[derive(Clone, Copy)]
enum ChainInput<'a> {
    Nchw(Batch<'a>),
    Blocks(&'a [Block16]),
}
