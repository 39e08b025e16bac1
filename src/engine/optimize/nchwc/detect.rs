//! Detects the block size of the runtime's NCHWc convolutions.
//!
//! It depends on the CPU and the runtime does not report it, so a tiny graph is run to find out.

use camlens_kernels::NCHWC_BLOCKS;
use ndarray::Array4;
use ort::value::TensorRef;
use prost::Message;

use super::pass::reorder_model;
use crate::engine::weights::HeldSession;

/// Channels that fill two blocks of any size, and positions of a channel.
const CHANNELS: usize = 32;
const POSITIONS: usize = 2;

/// Lets the runtime reorder a tensor and infers the block size from the order of the elements.
/// `None` if the runtime cannot reorder, or if the kernels do not support the block size.
pub(in crate::engine) fn detect_block(
    open: impl FnOnce(Vec<u8>) -> ort::Result<HeldSession>,
) -> Option<usize> {
    let reordered = reordered(open).ok()?;
    NCHWC_BLOCKS.into_iter().find(|&block_size| {
        (0..reordered.len()).all(|offset| reordered[offset] == element_at(offset, block_size))
    })
}

/// An element whose value identifies it.
fn element(channel: usize, position: usize) -> f32 {
    (channel * POSITIONS + position) as f32
}

/// The element at an offset of `[1, C/b, 1, W, b]`.
fn element_at(offset: usize, block_size: usize) -> f32 {
    let (block, position, lane) =
        (offset / block_size / POSITIONS, offset / block_size % POSITIONS, offset % block_size);
    element(block * block_size + lane, position)
}

fn reordered(open: impl FnOnce(Vec<u8>) -> ort::Result<HeldSession>) -> ort::Result<Vec<f32>> {
    let tensor = Array4::from_shape_fn((1, CHANNELS, 1, POSITIONS), |(_, channel, _, position)| {
        element(channel, position)
    });
    let model = reorder_model("nchw", "nchwc").encode_to_vec();
    let mut session = open(model)?;
    let outputs =
        session.run(ort::inputs!["nchw" => TensorRef::from_array_view(tensor.view())?])?;
    Ok(outputs["nchwc"].try_extract_tensor::<f32>()?.1.to_vec())
}
