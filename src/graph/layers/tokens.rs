//! The grid of positions among a transformer's tokens.

use serde::Deserialize;

/// Which tokens are positions of the image; `[tokens]` in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Tokens before the first position: a class token, a distillation token, registers.
    #[serde(default)]
    pub skip: usize,
    /// Rows and columns of the grid. Tokens after its last position are not part of it.
    pub grid: [usize; 2],
}

impl Tokens {
    /// True when a tensor of `count` tokens can hold this grid.
    #[must_use]
    pub fn fits(&self, count: usize) -> bool {
        self.skip + self.grid[0] * self.grid[1] <= count
    }
}
