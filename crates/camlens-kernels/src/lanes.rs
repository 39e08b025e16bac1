//! Sixteen channels side by side: the unit in which maps are stored and computed.

/// The values of 16 neighbouring channels at one place; one cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; Lanes::COUNT]);

impl Lanes {
    /// How many channels a block holds.
    pub const COUNT: usize = 16;
    /// Nothing in any channel.
    pub const ZERO: Self = Self([0.0; Self::COUNT]);

    /// Blocks that `channels` channels take; the last one may be part empty.
    #[must_use]
    pub const fn blocks(channels: usize) -> usize {
        channels.div_ceil(Self::COUNT)
    }

    /// The numbers of some blocks, one after another.
    pub(crate) fn numbers(blocks: &[Self]) -> &[f32] {
        // SAFETY: a block is its numbers and nothing else.
        unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len() * Self::COUNT) }
    }

    /// The same, to be written.
    pub(crate) fn numbers_mut(blocks: &mut [Self]) -> &mut [f32] {
        // SAFETY: as above.
        unsafe {
            std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len() * Self::COUNT)
        }
    }
}
