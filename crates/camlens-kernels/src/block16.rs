//! Channel-blocked storage: the 16-channel block that the kernels compute with, and the block
//! sizes that callers may use.

/// Channel block sizes of the NCHWc layouts that the kernels accept.
///
/// A map `[N, C, H, W]` in NCHWc is stored as `[N, C/c, H, W, c]`: the c channels of a block are
/// adjacent in memory. ONNX Runtime's convolutions use c = 16 on processors with AVX-512 and
/// c = 8 on others.
pub const NCHWC_BLOCKS: [usize; 2] = [8, 16];

/// The values of 16 adjacent channels at one position; exactly one cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Block16(pub(crate) [f32; Block16::LANES]);

impl Block16 {
    /// Channels in a block.
    pub(crate) const LANES: usize = 16;
    /// Zero in every channel.
    pub(crate) const ZERO: Self = Self([0.0; Self::LANES]);

    /// Blocks needed for `channels` channels; the last one may be partly unused.
    pub(crate) const fn count_for(channels: usize) -> usize {
        channels.div_ceil(Self::LANES)
    }

    /// Views blocks as a flat slice of their values.
    pub(crate) fn as_floats(blocks: &[Self]) -> &[f32] {
        // SAFETY: a block is `repr(C)` over 16 floats, 64 bytes long and so without padding.
        unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len() * Self::LANES) }
    }

    /// Views blocks as a flat mutable slice of their values.
    pub(crate) fn as_floats_mut(blocks: &mut [Self]) -> &mut [f32] {
        // SAFETY: as for `as_floats`; any bits of a float are valid in a block.
        unsafe {
            std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len() * Self::LANES)
        }
    }
}
