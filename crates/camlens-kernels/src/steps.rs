//! The three steps of Winograd's algorithm for some tiles of a stage.
//!
//! Patches of the input are transformed, the products of each position are summed
//! over the channels, and products are brought back to tiles of outputs. Steps of one kind touch
//! nothing in common, so threads may share them; one kind must end before the next begins.

use std::ops::Range;

use crate::lanes::Lanes;
use crate::loops::{Gather, Kernels, Multiply, Scatter, Strides, Tile};
use crate::pool::Shared;
use crate::stage::Stage;
use crate::winograd::POSITIONS;

/// What a stage reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// `[position][out block][in channel]`.
    pub(crate) weights: &'a [Lanes],
    /// `[map][in block][row][column]`.
    pub(crate) input: &'a [Lanes],
    /// `[map][out block][row][column]`.
    pub(crate) output: Shared<Lanes>,
}

/// Some tiles of a stage, and the scratch that they are taken through.
pub(crate) struct Steps<'a> {
    stage: &'a Stage<'a>,
    operands: Operands<'a>,
    tiles: &'a [Tile],
    kernels: Kernels,
    /// `[position][in block][tile]`.
    patches: (Shared<Lanes>, Strides),
    /// `[position][out block][tile]`.
    products: (Shared<Lanes>, Strides),
}

impl<'a> Steps<'a> {
    /// Blocks of scratch that so many tiles need.
    pub(crate) fn scratch(stage: &Stage<'_>, tiles: &[Tile]) -> usize {
        let (patches, products) = strides_of(stage, tiles);
        POSITIONS * (patches.position + products.position)
    }

    /// Takes tiles of a stage whose input and output hold all of their maps; the scratch is as long
    /// as [`Steps::scratch`] says.
    pub(crate) fn new(
        stage: &'a Stage<'a>,
        operands: Operands<'a>,
        tiles: &'a [Tile],
        scratch: &mut [Lanes],
        kernels: Kernels,
    ) -> Self {
        let (of_patches, of_products) = strides_of(stage, tiles);
        let (patches, products) = scratch.split_at_mut(POSITIONS * of_patches.position);
        assert!(products.len() >= POSITIONS * of_products.position, "a short scratch");
        let patches = (Shared::new(patches), of_patches);
        let products = (Shared::new(products), of_products);
        Self { stage, operands, tiles, kernels, patches, products }
    }

    /// Transforms the patches of one in block.
    pub(crate) fn gather(&self, block: usize) {
        let (patches, strides) = self.patches;
        let area = self.stage.size.area();
        let job = Gather {
            tiles: self.tiles,
            size: self.stage.size,
            input: self.operands.input[block * area..].as_ptr(),
            map_stride: self.stage.weights.in_blocks() * area,
            scratch: patches.get().wrapping_add(block * strides.block),
            strides,
        };
        // SAFETY: the stage has checked the input, the scratch was made for these strides, and no
        // other step of this kind has the same block.
        unsafe { (self.kernels.gather)(&job) };
    }

    /// Multiplies and sums up for one position and some out blocks.
    pub(crate) fn multiply(&self, position: usize, blocks: Range<usize>) {
        let (ins, outs) = (self.stage.weights.in_blocks(), self.stage.weights.out_blocks());
        let ((patches, of_patches), (products, of_products)) = (self.patches, self.products);
        let to = position * of_products.position + blocks.start * of_products.block;
        let job = Multiply {
            weights: self.operands.weights[(position * outs + blocks.start) * ins * Lanes::COUNT..]
                .as_ptr(),
            in_blocks: ins,
            out_blocks: blocks.len(),
            tiles: self.tiles.len(),
            patches: patches.get().wrapping_add(position * of_patches.position),
            patches_stride: of_patches.block,
            products: products.get().wrapping_add(to),
            products_stride: of_products.block,
        };
        // SAFETY: the scratch was made for these strides, the weights for these channels, and no
        // other step of this kind has the same position and out blocks.
        unsafe { (self.kernels.multiply)(&job) };
    }

    /// Brings the products of one out block back to outputs.
    pub(crate) fn scatter(&self, block: usize) {
        let (products, strides) = self.products;
        let job = Scatter {
            tiles: self.tiles,
            products: products.get().wrapping_add(block * strides.block),
            position_stride: strides.position,
            finish: self.stage.finish(block, self.operands.output),
        };
        // SAFETY: as for the other two; the stage has checked the output.
        unsafe { (self.kernels.scatter)(&job) };
    }
}

/// Strides of the patches and of the products.
fn strides_of(stage: &Stage<'_>, tiles: &[Tile]) -> (Strides, Strides) {
    let of = |blocks: usize| {
        // An odd number of cache lines between blocks, and between positions, keeps what is written
        // together from meeting in one set of the cache.
        let block = tiles.len() | 1;
        Strides { position: (blocks * block) | 1, block }
    };
    (of(stage.weights.in_blocks()), of(stage.weights.out_blocks()))
}
