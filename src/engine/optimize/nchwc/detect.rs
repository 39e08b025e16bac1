//! How many channels this runtime's convolutions keep together in a block: it depends on the
//! processor, so it is tried out.

use camlens_kernels::BLOCKS;
use ndarray::Array4;
use ort::session::Session;
use ort::value::TensorRef;
use prost::Message;

use crate::engine::optimize::nchwc::turning;

/// Channels that fill two blocks of any kind, and places of a map.
const CHANNELS: usize = 32;
const PLACES: usize = 2;

/// Lets the runtime turn maps round, and looks where their numbers lie. Nothing where it can't, or
/// where they lie as in no blocks that camlens's operators take.
pub(in crate::engine) fn kept(open: impl FnOnce(&[u8]) -> ort::Result<Session>) -> Option<usize> {
    let turned = turned(open).ok()?;
    BLOCKS.into_iter().find(|&lanes| (0..turned.len()).all(|at| turned[at] == number_at(at, lanes)))
}

/// Every number says which it is.
fn number(channel: usize, place: usize) -> f32 {
    (channel * PLACES + place) as f32
}

/// The number at a place of maps `[1, C/L, 1, W, L]`.
fn number_at(at: usize, lanes: usize) -> f32 {
    let (block, place, lane) = (at / lanes / PLACES, at / lanes % PLACES, at % lanes);
    number(block * lanes + lane, place)
}

fn turned(open: impl FnOnce(&[u8]) -> ort::Result<Session>) -> ort::Result<Vec<f32>> {
    let maps = Array4::from_shape_fn((1, CHANNELS, 1, PLACES), |(_, channel, _, place)| {
        number(channel, place)
    });
    let model = turning("planes", "blocks").encode_to_vec();
    let mut session = open(&model)?;
    let outputs =
        session.run(ort::inputs!["planes" => TensorRef::from_array_view(maps.view())?])?;
    Ok(outputs["blocks"].try_extract_tensor::<f32>()?.1.to_vec())
}
