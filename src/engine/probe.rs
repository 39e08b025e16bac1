//! Measures a model by running it: tensor shapes, whether it takes batches, and whether its
//! rewritten graph still gives the same outputs.

use ndarray::{Array4, Axis, concatenate};

use super::runtime::Runtime;
use super::session::{RawOutput, first_line, run_raw};
use crate::error::{Error, Kind, Result};
use crate::graph::prepared::{PreparedModel, SCOPE};
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::dtype::element_types;
use onnx_gradient::facts::{TensorFacts, constant_shapes, shape_probe};
use onnx_gradient::passes::io_types;

/// Two outputs count as equal when they differ by at most this fraction of the largest value.
const TOLERANCE: f32 = 1e-3;

/// The result of measuring a model.
pub(super) struct Probe {
    /// Shapes and element types, with the largest batch size of 2 and 1 that works.
    pub(super) facts: TensorFacts,
    /// Whether one pass can take several images.
    pub(super) takes_batches: bool,
    /// Whether the rewritten model still gives the outputs of its file.
    pub(super) upgrade_is_sound: bool,
}

/// Runs the model on two images of noise, one by one and in a batch.
pub(super) fn probe(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    shape: [usize; 3],
) -> Result<Probe> {
    let refused = |error: ort::Error| {
        Error::new(Kind::Setup, format!("ONNX Runtime rejects the model: {}", first_line(&error)))
    };
    let shape_model = shape_probe(&prepared.model, &prepared.input.name);
    let encoded = file.reference_weights(shape_model.model);
    let mut session =
        runtime.session(&encoded, file.folder(), false, false, None).map_err(refused)?;
    let input = prepared.input.name.clone();
    let [first, second] = [1, 2].map(|seed| {
        let noise = noise(shape, seed);
        // Bytes are whole numbers from 0 to 255.
        if prepared.input.takes_bytes {
            noise.mapv(|value| (value * 127.5 + 127.5).floor())
        } else {
            noise
        }
    });
    let first_output = run_raw(&mut session, &input, &first).map_err(refused)?;
    let second_output = run_raw(&mut session, &input, &second).map_err(refused)?;
    let both = concatenate(Axis(0), &[first.view(), second.view()])
        .map_err(|error| Error::internal("joining two inputs", error))?;
    // The images of a model that mixes up or rejects a batch run one by one.
    let both = run_raw(&mut session, &input, &both).ok();
    drop(session);

    let takes_batches =
        both.as_ref().is_some_and(|both| is_concatenation(both, &first_output, &second_output));
    let upgrade_is_sound = agrees_with_file(runtime, file, prepared, &first, &first_output);
    let measured = match both {
        Some(both) if takes_batches => both,
        _ => first_output,
    };
    let mut sizes = Vec::new();
    let mut values = Vec::new();
    for (name, raw) in measured {
        let RawOutput::Integers(integers) = raw else { continue };
        if let Some(tensor) = shape_model.shapes.get(&name) {
            sizes.push((tensor.clone(), integers));
        } else if shape_model.values.contains(&name) {
            values.push((name, integers));
        }
    }
    let facts = sizes
        .into_iter()
        .chain(constant_shapes(prepared.graph()))
        .collect::<TensorFacts>()
        .with_values(values)
        .with_types(element_types(prepared.graph()));
    Ok(Probe { facts, takes_batches, upgrade_is_sound })
}

/// Whether a rewritten model gives the same outputs as the file.
fn agrees_with_file(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    image: &Array4<f32>,
    rewritten: &[(String, RawOutput)],
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
                match (raw, rewritten.iter().find(|(other, _)| other == name)) {
                    (RawOutput::Floats(a), Some((_, RawOutput::Floats(b)))) => {
                        close(a.view(), b.view())
                    }
                    _ => true,
                }
            })
        })
}

/// Whether the outputs for a batch are those of its two images, one after the other.
fn is_concatenation(
    both: &[(String, RawOutput)],
    first: &[(String, RawOutput)],
    second: &[(String, RawOutput)],
) -> bool {
    let first_floats = |outputs: &[(String, RawOutput)]| {
        outputs.iter().find_map(|(_, raw)| match raw {
            RawOutput::Floats(array) => Some(array.clone()),
            RawOutput::Integers(_) => None,
        })
    };
    let (Some(both), Some(first), Some(second)) =
        (first_floats(both), first_floats(first), first_floats(second))
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

/// Noise between −1 and 1, `[1, …shape]`, the same for equal seeds.
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
