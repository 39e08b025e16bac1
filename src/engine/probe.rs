//! Measures a model by running it: tensor shapes, whether it takes batches, what its outputs look
//! like, and whether its rewritten graph still gives the same outputs.
//!
//! A file that gives other outputs when it runs again, such as one with a random operator, cannot
//! be compared with its rewritten graph. That is told, and is no reason to doubt the rewriting.

mod file;

use ndarray::{Array4, ArrayD, Axis, concatenate};

use self::file::{Agreement, FileSession, compare_with_file, in_turns};
use super::runtime::Runtime;
use super::session::{RawOutput, first_line, run_raw};
use super::weights::HeldSession;
use crate::error::{Error, Kind, Result};
use crate::graph::head::{OutputSamples, shows_activation};
use crate::graph::prepared::PreparedModel;
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::facts::{ShapeProbe, TensorFacts, shape_probe};

/// Two outputs count as equal when they differ by at most this fraction of the largest value.
const TOLERANCE: f32 = 1e-3;

/// The result of measuring a model.
pub(super) struct Probe {
    /// Shapes and element types, with the largest batch size of 2 and 1 that works.
    pub(super) facts: TensorFacts,
    /// Whether one pass can take several images.
    pub(super) takes_batches: bool,
    /// Why the rewritten model can't be trusted, unless it gives the outputs of its file.
    pub(super) unsound_reason: Option<String>,
    /// The outputs of the file that differ when it runs again.
    pub(super) varying_outputs: Vec<String>,
    /// Values of the outputs in a few runs.
    pub(super) samples: OutputSamples,
}

/// Runs the model on images of noise.
///
/// Loading spends most of its time here, so a batch of two images serves three ends: it gives the
/// shapes, and where both images have the outputs that the file gives for each alone, it shows that
/// the model takes batches and that rewriting it was sound. (One of the two would not do: a maximum
/// over the batch may lie in that image.) Otherwise the images run one by one.
pub(super) fn probe(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    shape: [usize; 3],
) -> Result<Probe> {
    let shape_model = shape_probe(&prepared.model, &prepared.input.name);
    let mut session = shape_session(runtime, file, &shape_model).map_err(refused)?;
    let input = prepared.input.name.clone();
    let [first, second] = images(prepared, shape);
    let both = concatenate(Axis(0), &[first.view(), second.view()])
        .map_err(|error| Error::internal("joining two inputs", error))?;
    // The images of a model that mixes up or rejects a batch run one by one.
    let both = run_raw(&mut session, &input, &both).ok();

    let mut samples = OutputSamples::default();
    let may_vary = !prepared.varying_nodes.is_empty();
    // In a file of several images, none has outputs that surely are its own.
    let is_comparable = !may_vary && prepared.fixed_batch().is_none();
    let proof = both.as_ref().filter(|_| is_comparable).and_then(|both| {
        let alone = if prepared.is_rewritten {
            FileSession::open(runtime, file, prepared).ok()?.run(&[&first, &second]).ok()?
        } else {
            let mut alone = |image| run_raw(&mut session, &input, image).ok();
            vec![alone(&first)?, alone(&second)?]
        };
        let alone = <[_; 2]>::try_from(alone).ok()?;
        is_batch_of(both, &alone).then_some(alone)
    });
    let (measured, takes_batches, agreement) = match (both, proof) {
        (Some(both), Some(alone)) => {
            alone.iter().for_each(|outputs| add_samples(&mut samples, outputs));
            (both, true, Agreement::default())
        }
        (both, _) => {
            let first_output = run_raw(&mut session, &input, &first).map_err(refused)?;
            let second_output = run_raw(&mut session, &input, &second).map_err(refused)?;
            add_samples(&mut samples, &first_output);
            add_samples(&mut samples, &second_output);
            let runs = [(&first, &first_output), (&second, &second_output)];
            let agreement = compare_with_file(runtime, file, prepared, &runs);
            let batch = both.filter(|both| is_concatenation(both, &first_output, &second_output));
            let takes_batches = batch.is_some();
            (batch.unwrap_or(first_output), takes_batches, agreement)
        }
    };
    let facts = measured_facts(&shape_model, measured);
    let shows = |output: &str| shows_activation(prepared.graph(), &facts, output);
    if samples.undecided().all(shows) {
        samples.end_usual();
    } else {
        let bytes = prepared.input.takes_bytes;
        for (image, is_usual) in telling_images(&first, bytes) {
            if !is_usual {
                samples.end_usual();
            }
            // A model may refuse images without noise; then they tell nothing.
            if let Ok(outputs) = run_raw(&mut session, &input, &image) {
                add_samples(&mut samples, &outputs);
            }
        }
    }
    let Agreement { unsound_reason, varying_outputs } = agreement;
    Ok(Probe { facts, takes_batches, unsound_reason, varying_outputs, samples })
}

/// Measures a model with the number of images that its file fixes, where it runs with no other.
pub(super) fn facts_of_batch(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    shape: [usize; 3],
    count: usize,
) -> Result<TensorFacts> {
    let shape_model = shape_probe(&prepared.model, &prepared.input.name);
    let mut session = shape_session(runtime, file, &shape_model).map_err(refused)?;
    let [first, second] = images(prepared, shape);
    let batch = in_turns(&[&first, &second], count)?;
    let measured = run_raw(&mut session, &prepared.input.name, &batch).map_err(refused)?;
    Ok(measured_facts(&shape_model, measured))
}

fn refused(error: ort::Error) -> Error {
    Error::new(Kind::Setup, format!("ONNX Runtime rejects the model: {}", first_line(&error)))
}

fn shape_session(
    runtime: &Runtime,
    file: &OnnxFile,
    shape_model: &ShapeProbe,
) -> ort::Result<HeldSession> {
    runtime.session(&file.encode(shape_model.model.clone()), false, false, None)
}

/// Two images of noise. One is far weaker than the other: where a model mixes a batch by its
/// extremes, images of equal strength would not show that.
fn images(prepared: &PreparedModel, shape: [usize; 3]) -> [Array4<f32>; 2] {
    [(1, 1.0), (2, 0.1)].map(|(seed, strength)| {
        let noise = noise(shape, seed) * strength;
        // Bytes are whole numbers from 0 to 255.
        if prepared.input.takes_bytes {
            noise.mapv(|value| (value * 127.5 + 127.5).floor())
        } else {
            noise
        }
    })
}

/// The facts that a run of a shape probe shows.
fn measured_facts(
    shape_model: &ShapeProbe,
    measured: impl IntoIterator<Item = (String, RawOutput)>,
) -> TensorFacts {
    shape_model.facts(measured.into_iter().filter_map(|(name, raw)| match raw {
        RawOutput::Integers(integers) => Some((name, integers)),
        RawOutput::Floats(_) => None,
    }))
}

/// Images that drive logits out of 0..1, and whether each is of usual strength: zeros, the negative
/// of the noise, and the noise a hundred times as strong. Bytes cannot be stronger, so theirs are
/// black and white.
fn telling_images(noise: &Array4<f32>, takes_bytes: bool) -> [(Array4<f32>, bool); 3] {
    let zeros = Array4::zeros(noise.raw_dim());
    if takes_bytes {
        let extreme = |value: f32| if value < 128.0 { 0.0 } else { 255.0 };
        return [
            (zeros, true),
            (noise.mapv(|value| 255.0 - value), true),
            (noise.mapv(extreme), false),
        ];
    }
    [(zeros, true), (noise.mapv(|value| -value), true), (noise.mapv(|value| value * 100.0), false)]
}

/// Adds the model's float outputs for one image.
fn add_samples(samples: &mut OutputSamples, outputs: &[(String, RawOutput)]) {
    for (name, raw) in outputs {
        if let RawOutput::Floats(values) = raw {
            samples.add(name, values.iter().copied());
        }
    }
}

/// Whether each float output of a batch is that of its two images alone, one after the other.
fn is_batch_of(both: &[(String, RawOutput)], alone: &[Vec<(String, RawOutput)>; 2]) -> bool {
    let floats = |outputs: &[(String, RawOutput)], name: &str| {
        outputs.iter().find_map(|(other, raw)| match raw {
            RawOutput::Floats(values) if other == name => Some(values.clone()),
            _ => None,
        })
    };
    let mut names = alone[0]
        .iter()
        .filter_map(|(name, raw)| matches!(raw, RawOutput::Floats(_)).then_some(name.as_str()))
        .peekable();
    names.peek().is_some()
        && names.all(|name| {
            let [first, second] = [&alone[0], &alone[1]].map(|outputs| floats(outputs, name));
            let (Some(both), Some(first), Some(second)) = (floats(both, name), first, second)
            else {
                return false;
            };
            are_joined(&both, &first, &second)
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
    are_joined(&both, &first, &second)
}

/// Whether one output holds two others, one after the other along its first axis.
fn are_joined(both: &ArrayD<f32>, first: &ArrayD<f32>, second: &ArrayD<f32>) -> bool {
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
