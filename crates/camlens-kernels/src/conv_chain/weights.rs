//! A convolution's filters, packed into the layout that the kernels read.

use super::kernels::MAX_DIRECT_CHANNELS;
use super::winograd::{POSITIONS, transform_filter};
use crate::block16::Block16;
use crate::error::InvalidArgument;
use crate::sizes::product;

/// Filters and bias of one 3×3 convolution, packed once and shared by every chain that uses them.
///
/// Packing chooses the algorithm: convolutions of up to 8 input channels are computed directly,
/// others by Winograd's algorithm, whose packed filters take 36/9 = 4 times the memory.
pub struct ConvWeights {
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    /// `[out block]`.
    pub(super) bias: Vec<Block16>,
    pub(super) filters: PackedFilters,
}

/// Packed filters, by the algorithm that reads them.
pub(super) enum PackedFilters {
    /// For direct convolution: `[out block][in channel][filter row][filter column]`.
    Direct(Vec<Block16>),
    /// Transformed for Winograd's algorithm: `[position][out block][in channel]`, with input
    /// channels padded to whole blocks.
    Winograd(Vec<Block16>),
}

impl ConvWeights {
    /// Packs filters `[out_channels, in_channels, 3, 3]` and a bias `[out_channels]`; no bias
    /// means zeros.
    ///
    /// # Errors
    /// When a channel count is zero, or a slice's length does not match the channel counts.
    pub fn new(
        filters: &[f32],
        bias: Option<&[f32]>,
        out_channels: usize,
        in_channels: usize,
    ) -> Result<Self, InvalidArgument> {
        if out_channels == 0
            || in_channels == 0
            || filters.len() != product(&[out_channels, in_channels, 9])?
        {
            return Err(InvalidArgument::new(format!(
                "{} weights do not make 3x3 filters of shape [{out_channels}, {in_channels}, 3, 3]",
                filters.len()
            )));
        }
        if let Some(bias) = bias.filter(|bias| bias.len() != out_channels) {
            return Err(InvalidArgument::new(format!(
                "the bias has {} values for {out_channels} output channels",
                bias.len()
            )));
        }
        let out_blocks = Block16::count_for(out_channels);
        let mut bias_blocks = vec![Block16::ZERO; out_blocks];
        for (channel, &value) in bias.unwrap_or_default().iter().enumerate() {
            bias_blocks[channel / Block16::LANES].0[channel % Block16::LANES] = value;
        }
        let filters = filters.as_chunks::<9>().0;
        // All filters of a block together, so that whole blocks are written at a time.
        let of_block = |block: usize, channel: usize| {
            let first = block * Block16::LANES;
            let outs = first..out_channels.min(first + Block16::LANES);
            outs.map(move |out| (out - first, &filters[out * in_channels + channel]))
        };
        let filters = if in_channels <= MAX_DIRECT_CHANNELS {
            let mut packed = vec![Block16::ZERO; out_blocks * in_channels * 9];
            for (index, taps) in packed.chunks_exact_mut(9).enumerate() {
                for (lane, filter) in of_block(index / in_channels, index % in_channels) {
                    taps.iter_mut().zip(filter).for_each(|(tap, &value)| tap.0[lane] = value);
                }
            }
            PackedFilters::Direct(packed)
        } else {
            let channels = Block16::count_for(in_channels) * Block16::LANES;
            let mut packed = vec![Block16::ZERO; POSITIONS * out_blocks * channels];
            for block in 0..out_blocks {
                for channel in 0..in_channels {
                    let mut transformed = [Block16::ZERO; POSITIONS];
                    for (lane, filter) in of_block(block, channel) {
                        let values = transform_filter(filter);
                        transformed
                            .iter_mut()
                            .zip(values)
                            .for_each(|(position, value)| position.0[lane] = value);
                    }
                    for (position, value) in transformed.into_iter().enumerate() {
                        packed[(position * out_blocks + block) * channels + channel] = value;
                    }
                }
            }
            PackedFilters::Winograd(packed)
        };
        Ok(Self { in_channels, out_channels, bias: bias_blocks, filters })
    }

    /// Size of the packed filters.
    pub(super) fn packed_bytes(&self) -> usize {
        let (PackedFilters::Direct(blocks) | PackedFilters::Winograd(blocks)) = &self.filters;
        size_of_val(blocks.as_slice())
    }

    pub(super) fn in_blocks(&self) -> usize {
        Block16::count_for(self.in_channels)
    }

    pub(super) fn out_blocks(&self) -> usize {
        Block16::count_for(self.out_channels)
    }
}
