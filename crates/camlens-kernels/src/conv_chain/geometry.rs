//! Sizes of maps, and the 4×4 output tiles that they are divided into.

/// Side of a tile of outputs: the 4 of Winograd's F(4×4, 3×3).
pub(super) const TILE: usize = 4;
/// Side of the input patch that a tile depends on.
pub(super) const PATCH: usize = TILE + 2;

/// Rows and columns of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapSize {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl MapSize {
    /// Positions in a map.
    pub(super) const fn area(self) -> usize {
        self.height * self.width
    }

    /// Rows and columns of tiles; the last of each may reach past the map.
    pub(super) const fn tiles(self) -> Self {
        Self { height: self.height.div_ceil(TILE), width: self.width.div_ceil(TILE) }
    }

    /// The size after 2×2 pooling with stride 2, which drops an odd last row or column.
    pub(super) const fn pooled(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2 }
    }
}

/// A tile of outputs: the map that it belongs to, and its row and column in units of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tile {
    pub(super) map: u32,
    pub(super) row: u16,
    pub(super) column: u16,
}
