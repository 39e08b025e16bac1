//! From an image's non-zero positions to the tiles that each layer computes and copies.

use super::mask::PositionMask;
use crate::conv_chain::geometry::{MapSize, TILE, Tile};

/// What one layer does for one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TilePlan {
    /// Tiles that the image's non-zero part can influence.
    pub(crate) compute: Vec<Tile>,
    /// Tiles to copy from the zero response, because the next layer reads them.
    pub(crate) copy: Vec<Tile>,
}

/// What planning needs to know about a layer in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerTraits {
    /// Size of the convolution's output.
    pub(crate) size: MapSize,
    /// Max pooling follows, before the next layer.
    pub(crate) max_pool: bool,
    /// The caller reads the layer's whole output.
    pub(crate) is_output: bool,
    /// The caller reads the output before pooling, so pooling can't be part of the kernel's
    /// epilogue.
    pub(crate) is_output_before_pooling: bool,
}

impl LayerTraits {
    /// Whether the kernel's epilogue pools.
    pub(crate) fn pools_in_epilogue(&self) -> bool {
        self.max_pool && !self.is_output_before_pooling
    }
}

/// Plans one image through all layers, given its non-zero positions.
pub(crate) fn plan(layers: &[LayerTraits], image: &PositionMask) -> Vec<TilePlan> {
    let mut plans = Vec::with_capacity(layers.len());
    let mut influenced = image.clone();
    for layer in layers {
        influenced = influenced.dilated();
        let tiles = layer.size.tiles();
        let all = (0..tiles.height)
            .flat_map(|row| (0..tiles.width).map(move |column| Tile { map: 0, row, column }));
        let is_computed = |tile: &Tile| {
            let (row, column) = (TILE * tile.row, TILE * tile.column);
            layer.is_output || influenced.intersects(row..row + TILE, column, column + TILE)
        };
        let (compute, copy) = all.partition(is_computed);
        plans.push(TilePlan { compute, copy });
        if layer.max_pool {
            influenced = influenced.pooled();
        }
    }
    // Copy only the tiles that the next layer's patches read. Every tile of the last layer is read.
    for index in 1..layers.len() {
        let needed = read_by(&plans[index].compute, layers[index].size);
        let previous = &layers[index - 1];
        let side = if previous.max_pool { TILE / 2 } else { TILE };
        plans[index - 1].copy.retain(|tile| {
            let (row, column) = (side * tile.row, side * tile.column);
            needed.intersects(row..row + side, column, column + side)
        });
    }
    plans
}

/// The positions of a layer's input that the patches of some tiles cover.
fn read_by(tiles: &[Tile], size: MapSize) -> PositionMask {
    let mut read = PositionMask::none(size);
    for tile in tiles {
        let (row, column) = (TILE * tile.row, TILE * tile.column);
        for row in row.saturating_sub(1)..(row + TILE + 1).min(size.height) {
            read.add(row, column.saturating_sub(1), column + TILE + 1);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn influenced_tiles_are_computed_and_only_read_tiles_are_copied() {
        let size = MapSize { height: 32, width: 32 };
        let layer = |size, max_pool| LayerTraits {
            size,
            max_pool,
            is_output: false,
            is_output_before_pooling: false,
        };
        let layers = [layer(size, false), layer(size, true), layer(size.pooled(), false)];
        let mut image = PositionMask::none(size);
        image.add(9, 9, 10);
        let plans = plan(&layers, &image);
        let at = |row, column| Tile { map: 0, row, column };
        // Influenced rows and columns: layer 1 8..=10, layer 2 7..=11, layer 3 (after pooling:
        // 3..=5) 2..=6.
        assert_eq!(plans[0].compute, [at(2, 2)]);
        assert_eq!(plans[1].compute, [at(1, 1), at(1, 2), at(2, 1), at(2, 2)]);
        assert_eq!(plans[2].compute, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
        // Layer 2's patches cover 3..=12 of layer 1: tiles 0 to 3 along each axis, less the
        // computed one.
        assert_eq!(plans[0].copy.len(), 4 * 4 - 1);
        // Layer 3's cover 0..=8 of layer 2 after pooling, whose tiles are 2 wide: 0 to 4.
        assert_eq!(plans[1].copy.len(), 5 * 5 - 4);
        assert_eq!(plans[2].copy.len(), 4 * 4 - 4);
    }

    #[test]
    fn a_layer_whose_output_is_requested_is_computed_whole() {
        let size = MapSize { height: 8, width: 8 };
        let layer =
            LayerTraits { size, max_pool: true, is_output: true, is_output_before_pooling: true };
        let plans = plan(&[layer], &PositionMask::none(size));
        assert_eq!((plans[0].compute.len(), plans[0].copy.len()), (4, 0));
    }
}
