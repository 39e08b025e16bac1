//! The arguments of the inner loops.

use crate::block16::Block16;
use crate::conv_chain::geometry::{MapSize, Tile};

/// Convolutions of up to this many input channels are computed directly: a 16-channel block would
/// be mostly empty.
pub(crate) const MAX_DIRECT_CHANNELS: usize = 8;

/// Strides, in blocks, of a scratch buffer `[position][channel block][tile]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScratchStrides {
    pub(crate) position: usize,
    pub(crate) block: usize,
}

/// Transforms the input patches of tiles, for one channel block:
/// `scratch[p][block][t] = (Bᵀ d B)[p]` for the patch d of tile t.
pub(crate) struct InputTransform<'a> {
    pub(crate) tiles: &'a [Tile],
    pub(crate) size: MapSize,
    /// The channel block in the first map; maps are `map_stride` blocks apart.
    pub(crate) input: *const Block16,
    pub(crate) map_stride: usize,
    /// Where position 0 of the first tile goes, in the same channel block.
    pub(crate) scratch: *mut Block16,
    pub(crate) strides: ScratchStrides,
}

/// The matrix product of one position: `products[o][t] = Σ_c weights[o][c] · patches[c][t]`.
pub(crate) struct PositionProduct {
    /// `[out block][in channel]`, from the first requested out block.
    pub(crate) weights: *const Block16,
    pub(crate) in_blocks: usize,
    pub(crate) out_blocks: usize,
    pub(crate) tiles: usize,
    /// `[in block][tile]`.
    pub(crate) patches: *const Block16,
    pub(crate) patches_stride: usize,
    /// `[out block][tile]`.
    pub(crate) products: *mut Block16,
    pub(crate) products_stride: usize,
}

/// What happens to a tile of convolution outputs before it is stored, and where it is stored.
pub(crate) struct TileEpilogue {
    pub(crate) bias: Block16,
    pub(crate) relu: bool,
    pub(crate) max_pool: bool,
    /// Size of the convolution's output, before pooling.
    pub(crate) size: MapSize,
    /// The channel block in the first map; maps are `map_stride` blocks apart.
    pub(crate) output: *mut Block16,
    pub(crate) map_stride: usize,
}

// SAFETY: the tasks of one layer share its pointer, and each writes tiles of its own.
unsafe impl Sync for TileEpilogue {}

/// Transforms products back to tiles of outputs, for one channel block.
pub(crate) struct OutputTransform<'a> {
    pub(crate) tiles: &'a [Tile],
    /// The channel block's products at position 0, of the first tile.
    pub(crate) products: *const Block16,
    pub(crate) position_stride: usize,
    pub(crate) epilogue: TileEpilogue,
}

/// Direct convolution of few input channels, for all out blocks of some tiles.
pub(crate) struct DirectConv<'a> {
    pub(crate) tiles: &'a [Tile],
    /// `[map][channel][row][column]`.
    pub(crate) input: *const f32,
    pub(crate) channels: usize,
    /// `[out block][channel][filter row][filter column]`.
    pub(crate) weights: *const Block16,
    /// One per out block.
    pub(crate) epilogues: &'a [TileEpilogue],
    pub(crate) size: MapSize,
}
