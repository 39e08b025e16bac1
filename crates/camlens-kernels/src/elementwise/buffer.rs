//! Where a block of numbers stands between two passes.

use super::BLOCK;
use crate::lanes::Lanes;

/// Room for a block: whole cache lines, so that no vector lies in two.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<Lanes>);

/// Cache lines behind a block. Buffers that are allocated one after another would lie at the same
/// place of their pages without them, and processors take a read from such a place for one of what
/// was just written.
const APART: usize = 8;

impl Buffer {
    /// Room for [`BLOCK`] numbers, all the same.
    pub(super) fn of(value: f32) -> Self {
        Self(vec![Lanes([value; Lanes::COUNT]); BLOCK / Lanes::COUNT + APART])
    }

    /// The first numbers; none where the buffer is away.
    pub(super) fn numbers(&self, count: usize) -> &[f32] {
        Lanes::numbers(&self.0).get(..count).unwrap_or_default()
    }

    /// The first numbers, to be written.
    pub(super) fn numbers_mut(&mut self, count: usize) -> &mut [f32] {
        &mut Lanes::numbers_mut(&mut self.0)[..count]
    }
}
