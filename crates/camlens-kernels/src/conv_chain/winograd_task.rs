//! The three steps of Winograd's algorithm for some tiles of a layer.
//!
//! Input patches are transformed; products are summed over channels at each position; products are
//! transformed back to tiles of outputs. Calls of one step for different blocks or positions write
//! disjoint data, so threads may share them. A step must finish before the next one starts.

use std::ops::Range;

use super::geometry::Tile;
use super::kernels::{
    ConvKernels, InputTransform, OutputTransform, PositionProduct, ScratchStrides,
};
use super::layer_task::LayerTask;
use super::winograd::POSITIONS;
use crate::block16::Block16;
use crate::shared_mut::SharedMut;

/// A layer's buffers.
#[derive(Clone, Copy)]
pub(super) struct LayerBuffers<'a> {
    /// `[position][out block][in channel]`.
    pub(super) weights: &'a [Block16],
    /// `[map][in block][row][column]`.
    pub(super) input: &'a [Block16],
    /// `[map][out block][row][column]`.
    pub(super) output: SharedMut<Block16>,
}

/// Some tiles of a layer, and the scratch that they pass through.
pub(super) struct WinogradTask<'a> {
    layer: &'a LayerTask<'a>,
    buffers: LayerBuffers<'a>,
    tiles: &'a [Tile],
    kernels: ConvKernels,
    /// `[position][in block][tile]`.
    patches: (SharedMut<Block16>, ScratchStrides),
    /// `[position][out block][tile]`.
    products: (SharedMut<Block16>, ScratchStrides),
}

impl<'a> WinogradTask<'a> {
    /// Blocks of scratch that these tiles need.
    pub(super) fn scratch_blocks(layer: &LayerTask<'_>, tiles: &[Tile]) -> usize {
        let (patches, products) = scratch_strides(layer, tiles);
        POSITIONS * (patches.position + products.position)
    }

    /// Prepares tiles of a layer.
    ///
    /// The caller has checked that the layer's buffers hold every map of the tiles. `scratch` is as
    /// long as [`WinogradTask::scratch_blocks`] says.
    pub(super) fn new(
        layer: &'a LayerTask<'a>,
        buffers: LayerBuffers<'a>,
        tiles: &'a [Tile],
        scratch: &mut [Block16],
        kernels: ConvKernels,
    ) -> Self {
        let (of_patches, of_products) = scratch_strides(layer, tiles);
        let (patches, products) = scratch.split_at_mut(POSITIONS * of_patches.position);
        assert!(products.len() >= POSITIONS * of_products.position, "the scratch is too short");
        let patches = (SharedMut::new(patches), of_patches);
        let products = (SharedMut::new(products), of_products);
        Self { layer, buffers, tiles, kernels, patches, products }
    }

    /// Step 1: transforms the input patches of one in block.
    pub(super) fn transform_inputs(&self, block: usize) {
        let (patches, strides) = self.patches;
        let area = self.layer.size.area();
        let job = InputTransform {
            tiles: self.tiles,
            size: self.layer.size,
            input: self.buffers.input[block * area..].as_ptr(),
            map_stride: self.layer.weights.in_blocks() * area,
            scratch: patches.get().wrapping_add(block * strides.block),
            strides,
        };
        // SAFETY: the input holds every map of the tiles, the scratch was sized for these strides,
        // and no other call of this step writes the same block.
        unsafe { (self.kernels.transform_inputs)(&job) };
    }

    /// Step 2: multiplies and sums over channels, for one position and some out blocks.
    pub(super) fn multiply(&self, position: usize, blocks: Range<usize>) {
        let (ins, outs) = (self.layer.weights.in_blocks(), self.layer.weights.out_blocks());
        let ((patches, of_patches), (products, of_products)) = (self.patches, self.products);
        let to = position * of_products.position + blocks.start * of_products.block;
        let job = PositionProduct {
            weights: self.buffers.weights
                [(position * outs + blocks.start) * ins * Block16::LANES..]
                .as_ptr(),
            in_blocks: ins,
            out_blocks: blocks.len(),
            tiles: self.tiles.len(),
            patches: patches.get().wrapping_add(position * of_patches.position),
            patches_stride: of_patches.block,
            products: products.get().wrapping_add(to),
            products_stride: of_products.block,
        };
        // SAFETY: the scratch was sized for these strides and the weights for these channels, and
        // no other call of this step writes the same position and out blocks.
        unsafe { (self.kernels.multiply)(&job) };
    }

    /// Step 3: transforms the products of one out block to outputs and stores them.
    pub(super) fn transform_outputs(&self, block: usize) {
        let (products, strides) = self.products;
        let job = OutputTransform {
            tiles: self.tiles,
            products: products.get().wrapping_add(block * strides.block),
            position_stride: strides.position,
            epilogue: self.layer.epilogue(block, self.buffers.output),
        };
        // SAFETY: as for the other steps; the output holds every map of the tiles.
        unsafe { (self.kernels.transform_outputs)(&job) };
    }
}

/// Strides of the patches and of the products.
fn scratch_strides(layer: &LayerTask<'_>, tiles: &[Tile]) -> (ScratchStrides, ScratchStrides) {
    let of = |blocks: usize| {
        // An odd number of cache lines between blocks, and between positions, spreads concurrent
        // writes over the sets of the cache.
        let block = tiles.len() | 1;
        ScratchStrides { position: (blocks * block) | 1, block }
    };
    (of(layer.weights.in_blocks()), of(layer.weights.out_blocks()))
}
