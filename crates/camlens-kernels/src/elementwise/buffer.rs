//! Buffers for the values between two steps.

use super::types::CHUNK;
use crate::block16::Block16;

/// A buffer for one chunk. It starts at a cache line, so no vector straddles two.
#[derive(Debug, Default)]
pub(super) struct ChunkBuffer(Vec<Block16>);

/// Cache lines of padding after a chunk. Without it, buffers that are allocated one after another
/// would start at the same offset of their pages, and the processor would take a load at such an
/// address to depend on a store to the other buffer (4K aliasing).
const PADDING: usize = 8;

impl ChunkBuffer {
    /// A buffer of [`CHUNK`] elements of the same value.
    pub(super) fn filled(value: f32) -> Self {
        Self(vec![Block16([value; Block16::LANES]); CHUNK / Block16::LANES + PADDING])
    }

    /// The first `count` elements; none if the buffer was taken.
    pub(super) fn floats(&self, count: usize) -> &[f32] {
        Block16::as_floats(&self.0).get(..count).unwrap_or_default()
    }

    /// The first `count` elements, mutably.
    pub(super) fn floats_mut(&mut self, count: usize) -> &mut [f32] {
        &mut Block16::as_floats_mut(&mut self.0)[..count]
    }
}
