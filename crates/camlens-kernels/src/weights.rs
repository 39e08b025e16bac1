//! A convolution's weights in the form that the kernels read.

use crate::lanes::Lanes;
use crate::loops::FEW_CHANNELS;
use crate::winograd::{POSITIONS, transform_filter};

/// The weights and bias of one 3×3 convolution, made once and shared by whoever uses them.
pub struct Weights {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// `[out block]`.
    pub(crate) bias: Vec<Lanes>,
    pub(crate) form: Form,
}

/// How the convolution is computed, and the weights for it.
pub(crate) enum Form {
    /// As written: `[out block][in channel][filter row][filter column]`.
    Direct(Vec<Lanes>),
    /// By Winograd's algorithm: `[position][out block][in channel]`, in channels in whole blocks.
    Winograd(Vec<Lanes>),
}

impl Weights {
    /// Takes weights `[out, in, 3, 3]` and a bias `[out]`, zeros when absent.
    ///
    /// # Errors
    /// When the lengths do not fit the channels.
    pub fn new(
        weights: &[f32],
        bias: Option<&[f32]>,
        out_channels: usize,
        in_channels: usize,
    ) -> Result<Self, String> {
        if out_channels == 0 || in_channels == 0 || weights.len() != out_channels * in_channels * 9
        {
            return Err(format!(
                "{} weights are not those of {in_channels} channels in and {out_channels} out",
                weights.len()
            ));
        }
        if bias.is_some_and(|bias| bias.len() != out_channels) {
            return Err(format!("the bias is not that of {out_channels} channels"));
        }
        let out_blocks = Lanes::blocks(out_channels);
        let mut biases = vec![Lanes::ZERO; out_blocks];
        for (channel, &value) in bias.unwrap_or_default().iter().enumerate() {
            biases[channel / Lanes::COUNT].0[channel % Lanes::COUNT] = value;
        }
        let filters = weights.as_chunks::<9>().0;
        // All of a block's filters at a time, so that whole blocks are written.
        let of_block = |block: usize, channel: usize| {
            let first = block * Lanes::COUNT;
            let outs = first..out_channels.min(first + Lanes::COUNT);
            outs.map(move |out| (out - first, &filters[out * in_channels + channel]))
        };
        let form = if in_channels <= FEW_CHANNELS {
            let mut blocks = vec![Lanes::ZERO; out_blocks * in_channels * 9];
            for (index, places) in blocks.chunks_exact_mut(9).enumerate() {
                for (lane, filter) in of_block(index / in_channels, index % in_channels) {
                    places.iter_mut().zip(filter).for_each(|(place, &value)| place.0[lane] = value);
                }
            }
            Form::Direct(blocks)
        } else {
            let channels = Lanes::blocks(in_channels) * Lanes::COUNT;
            let mut blocks = vec![Lanes::ZERO; POSITIONS * out_blocks * channels];
            for block in 0..out_blocks {
                for channel in 0..in_channels {
                    let mut transformed = [Lanes::ZERO; POSITIONS];
                    for (lane, filter) in of_block(block, channel) {
                        let values = transform_filter(filter);
                        transformed
                            .iter_mut()
                            .zip(values)
                            .for_each(|(place, value)| place.0[lane] = value);
                    }
                    for (position, value) in transformed.into_iter().enumerate() {
                        blocks[(position * out_blocks + block) * channels + channel] = value;
                    }
                }
            }
            Form::Winograd(blocks)
        };
        Ok(Self { in_channels, out_channels, bias: biases, form })
    }

    /// Bytes that the weights take in this form.
    pub(crate) fn bytes(&self) -> usize {
        let (Form::Direct(blocks) | Form::Winograd(blocks)) = &self.form;
        size_of_val(blocks.as_slice())
    }

    pub(crate) fn in_blocks(&self) -> usize {
        Lanes::blocks(self.in_channels)
    }

    pub(crate) fn out_blocks(&self) -> usize {
        Lanes::blocks(self.out_channels)
    }
}
