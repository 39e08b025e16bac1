//! Whether this runtime's convolutions keep channels in blocks of sixteen, as camlens's operators can: it depends on the
//! processor, so it is tried out.

use std::path::Path;

use kernels::Lanes;
use ndarray::Array4;
use ort::value::TensorRef;
use prost::Message;

use super::runtime::Runtime;
use crate::graph::fast::blocks::turning;

/// Lets the runtime turn two blocks of maps of two places, and looks where their numbers lie. False where it can't.
pub(super) fn are_kept(runtime: &Runtime) -> bool {
    let (blocks, places) = (2, 2);
    let channels = blocks * Lanes::COUNT;
    let number = |channel: usize, place: usize| (channel * places + place) as f32;
    let maps =
        Array4::from_shape_fn((1, channels, 1, places), |(_, channel, _, place)| number(channel, place));
    let turned = || -> ort::Result<Vec<f32>> {
        let model = turning("planes", "blocks").encode_to_vec();
        let mut session = runtime.session(&model, Path::new(""), false, false, None)?;
        let outputs = session.run(ort::inputs!["planes" => TensorRef::from_array_view(maps.view())?])?;
        Ok(outputs["blocks"].try_extract_tensor::<f32>()?.1.to_vec())
    };
    let expected = (0..blocks * places).flat_map(|at| {
        let (block, place) = (at / places, at % places);
        (0..Lanes::COUNT).map(move |lane| number(block * Lanes::COUNT + lane, place))
    });
    turned().is_ok_and(|turned| turned.into_iter().eq(expected))
}
