//! What only running a model tells: shapes, whether it takes batches, whether its upgrade is sound.

use ndarray::{Array4, Axis, concatenate};

use super::runtime::Runtime;
use super::session::{RawOutput, first_line, run_raw};
use crate::error::{Error, Kind, Result};
use crate::graph::prepared::{PreparedModel, SCOPE};
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::dtype::element_types;
use onnx_gradient::facts::{TensorFacts, constant_shapes, shape_probe};
use onnx_gradient::passes::io_types;

/// Two outputs count as equal when they differ by less than this part of the larger one's size.
const TOLERANCE: f32 = 1e-3;

/// What probing found.
pub(super) struct Probe {
    /// Shapes with the largest batch that works: 2, or 1.
    pub(super) shapes: TensorFacts,
    /// Whether several images may share a pass.
    pub(super) takes_batches: bool,
    /// Whether the model still gives the outputs of its file after it was brought to a newer
    /// opset.
    pub(super) upgrade_is_sound: bool,
}

/// Runs the model on noise, alone and in a batch of two.
pub(super) fn probe(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    shape: [usize; 3],
) -> Result<Probe> {
    let refused = |error: ort::Error| {
        Error::new(Kind::Setup, format!("ONNX Runtime refuses the model: {}", first_line(&error)))
    };
    let asked = shape_probe(&prepared.model, &prepared.input.name);
    let encoded = file.reference_weights(asked.model);
    let mut session =
        runtime.session(&encoded, file.folder(), false, false, None).map_err(refused)?;
    let input = prepared.input.name.clone();
    let [first, second] = [1, 2].map(|seed| {
        let noise = noise(shape, seed);
        // Bytes hold no fractions.
        if prepared.input.takes_bytes {
            noise.mapv(|value| (value * 127.5 + 127.5).floor())
        } else {
            noise
        }
    });
    let alone = run_raw(&mut session, &input, &first).map_err(refused)?;
    let other = run_raw(&mut session, &input, &second).map_err(refused)?;
    let both = concatenate(Axis(0), &[first.view(), second.view()])
        .map_err(|error| Error::internal("joining two inputs", error))?;
    // A model that mixes up or refuses a batch runs its images one by one.
    let both = run_raw(&mut session, &input, &both).ok();
    drop(session);

    let takes_batches = both.as_ref().is_some_and(|both| is_joined(both, &alone, &other));
    let upgrade_is_sound = same_as_the_file(runtime, file, prepared, &first, &alone);
    let measured = match both {
        Some(both) if takes_batches => both,
        _ => alone,
    };
    let mut sizes = Vec::new();
    let mut values = Vec::new();
    for (name, raw) in measured {
        let RawOutput::Integers(integers) = raw else { continue };
        if let Some(tensor) = asked.shapes.get(&name) {
            sizes.push((tensor.clone(), integers));
        } else if asked.values.contains(&name) {
            values.push((name, integers));
        }
    }
    let shapes = sizes
        .into_iter()
        .chain(constant_shapes(prepared.graph()))
        .collect::<TensorFacts>()
        .with_values(values)
        .with_types(element_types(prepared.graph()));
    Ok(Probe { shapes, takes_batches, upgrade_is_sound })
}

/// Holds a rewritten model against the file as it came.
fn same_as_the_file(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    image: &Array4<f32>,
    upgraded: &[(String, RawOutput)],
) -> bool {
    if !prepared.is_rewritten {
        return true;
    }
    let mut model = file.model.clone();
    if let Some(graph) = &mut model.graph {
        io_types::normalize(graph, SCOPE);
    }
    runtime
        .session(&file.reference_weights(model), file.folder(), false, false, None)
        .and_then(|mut session| run_raw(&mut session, &prepared.input.name, image))
        .is_ok_and(|original| {
            original.iter().all(|(name, raw)| {
                match (raw, upgraded.iter().find(|(other, _)| other == name)) {
                    (RawOutput::Numbers(a), Some((_, RawOutput::Numbers(b)))) => {
                        close(a.view(), b.view())
                    }
                    _ => true,
                }
            })
        })
}

fn is_joined(
    both: &[(String, RawOutput)],
    first: &[(String, RawOutput)],
    second: &[(String, RawOutput)],
) -> bool {
    let numbers = |outputs: &[(String, RawOutput)]| {
        outputs.iter().find_map(|(_, raw)| match raw {
            RawOutput::Numbers(array) => Some(array.clone()),
            RawOutput::Integers(_) => None,
        })
    };
    let (Some(both), Some(first), Some(second)) = (numbers(both), numbers(first), numbers(second))
    else {
        return false;
    };
    concatenate(Axis(0), &[first.view(), second.view()])
        .is_ok_and(|expected| close(both.view(), expected.view()))
}

fn close(a: ndarray::ArrayViewD<'_, f32>, b: ndarray::ArrayViewD<'_, f32>) -> bool {
    let largest = b.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    a.shape() == b.shape()
        && a.iter().zip(&b).all(|(a, b)| {
            (a - b).abs() <= TOLERANCE * largest || a == b || (a.is_nan() && b.is_nan())
        })
}

/// Numbers between −1 and 1 that look like nothing, the same every time.
fn noise(shape: [usize; 3], seed: u32) -> Array4<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    Array4::from_shape_simple_fn((1, shape[0], shape[1], shape[2]), || {
        // Marsaglia's xorshift32.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    })
}
