//! Sizes of maps, and the 4×4 output tiles that they are divided into.

use crate::error::InvalidArgument;

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
    /// A size that a caller chose. Positions of such a map fit 32 bits, which lists of them use.
    ///
    /// # Errors
    /// When the map has too many positions.
    pub(super) fn new(height: usize, width: usize) -> Result<Self, InvalidArgument> {
        let area = height.checked_mul(width).and_then(|area| u32::try_from(area).ok());
        match area {
            Some(_) => Ok(Self { height, width }),
            None => Err(InvalidArgument::new(format!(
                "a map of {height}x{width} has more than {} positions",
                u32::MAX
            ))),
        }
    }

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
    pub(super) map: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}
