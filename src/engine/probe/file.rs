//! Runs a model's file as it is stored, to compare its rewritten graph with it.
//!
//! A file that fixes the number of its images runs with that many; each image's part of the outputs
//! then counts as its own.

use ndarray::{Array4, Axis, concatenate};

use super::{close, refused};
use crate::engine::runtime::Runtime;
use crate::engine::session::{RawOutput, run_raw};
use crate::engine::weights::HeldSession;
use crate::error::{Error, Result};
use crate::graph::prepared::{PreparedModel, SCOPE};
use crate::model::onnx_file::OnnxFile;
use onnx_gradient::passes::io_types;

/// The outputs of a run by their names.
type Outputs = Vec<(String, RawOutput)>;

/// The file as it is stored, except that its image input takes 32-bit floats.
pub(super) struct FileSession {
    session: HeldSession,
    input: String,
    /// How many images it takes at once, if it takes no other number.
    fixed_batch: Option<usize>,
}

impl FileSession {
    pub(super) fn open(
        runtime: &Runtime,
        file: &OnnxFile,
        prepared: &PreparedModel,
    ) -> Result<Self> {
        let mut model = file.model.clone();
        if let Some(graph) = &mut model.graph {
            io_types::normalize(graph, SCOPE);
        }
        let session = runtime.session(&file.encode(model), false, false, None).map_err(refused)?;
        let input = prepared.input.name.clone();
        Ok(Self { session, input, fixed_batch: prepared.fixed_batch() })
    }

    /// The outputs for each of some images, at most as many as the file takes at once.
    pub(super) fn run(&mut self, images: &[&Array4<f32>]) -> Result<Vec<Outputs>> {
        let mut run = |images| run_raw(&mut self.session, &self.input, images).map_err(refused);
        let Some(count) = self.fixed_batch else {
            return images.iter().copied().map(run).collect();
        };
        let outputs = run(&in_turns(images, count)?)?;
        Ok((0..images.len()).map(|image| outputs_of_image(&outputs, image, count)).collect())
    }
}

/// A batch of some images in turns.
pub(super) fn in_turns(images: &[&Array4<f32>], count: usize) -> Result<Array4<f32>> {
    let turns: Vec<_> = images.iter().cycle().take(count).map(|image| image.view()).collect();
    concatenate(Axis(0), &turns).map_err(|error| Error::internal("joining inputs", error))
}

/// One image's part of the outputs for a batch.
fn outputs_of_image(outputs: &Outputs, image: usize, count: usize) -> Outputs {
    let part = |raw: &RawOutput| match raw {
        RawOutput::Floats(values) if values.ndim() > 0 && values.len_of(Axis(0)) % count == 0 => {
            let rows = values.len_of(Axis(0)) / count;
            let rows = (image * rows)..((image + 1) * rows);
            Some(RawOutput::Floats(values.slice_axis(Axis(0), rows.into()).to_owned()))
        }
        _ => None,
    };
    outputs.iter().filter_map(|(name, raw)| Some((name.clone(), part(raw)?))).collect()
}

/// How a rewritten model compares with its file.
#[derive(Default)]
pub(super) struct Agreement {
    /// Why the rewritten model can't be trusted, if it can't.
    pub(super) unsound_reason: Option<String>,
    /// The outputs that differ when the file runs again.
    pub(super) varying_outputs: Vec<String>,
}

/// Whether a rewritten model gives the same outputs as the file; `runs` are two images and what the
/// rewritten model makes of them. Where it does not, or where an operator is random, the file runs
/// twice.
pub(super) fn compare_with_file(
    runtime: &Runtime,
    file: &OnnxFile,
    prepared: &PreparedModel,
    runs: &[(&Array4<f32>, &Outputs)],
) -> Agreement {
    let may_vary = !prepared.varying_nodes.is_empty();
    if !prepared.is_rewritten && !may_vary && prepared.fixed_batch().is_none() {
        return Agreement::default();
    }
    let compare = || {
        let mut session = FileSession::open(runtime, file, prepared)?;
        // One image tells enough, but in a batch of equal images no mixing would show.
        let count = if prepared.fixed_batch().is_some() { runs.len() } else { 1 };
        let (images, rewritten): (Vec<_>, Vec<_>) = runs.iter().copied().take(count).unzip();
        let original = session.run(&images)?;
        let pairs = original.iter().zip(rewritten);
        let changed: Vec<String> = pairs.flat_map(|(a, b)| differing(a, b)).collect();
        if changed.is_empty() && !may_vary {
            return Ok(Agreement::default());
        }
        let again = session.run(&images)?;
        let varying_outputs: Vec<String> =
            original.iter().zip(&again).flat_map(|(a, b)| differing(a, b)).collect();
        let is_sound = changed.iter().all(|output| varying_outputs.contains(output));
        let unsound_reason = (!is_sound).then(|| match prepared.fixed_batch() {
            Some(count) => format!(
                "the file takes {count} images at once, and gives an image other scores among them \
                 than its rewritten graph gives it alone"
            ),
            None => "the model's outputs change when its graph is rewritten for gradients".into(),
        });
        Ok(Agreement { unsound_reason, varying_outputs })
    };
    compare().unwrap_or_else(|error: Error| Agreement {
        unsound_reason: Some(format!(
            "the file itself does not run, so its rewritten graph can't be checked: {}",
            error.detail()
        )),
        varying_outputs: Vec::new(),
    })
}

/// The float outputs that differ between two runs.
fn differing(expected: &Outputs, found: &Outputs) -> Vec<String> {
    let is_close =
        |name: &String, raw: &RawOutput| match (raw, found.iter().find(|(other, _)| other == name))
        {
            (RawOutput::Floats(a), Some((_, RawOutput::Floats(b)))) => close(a.view(), b.view()),
            _ => true,
        };
    let differing = expected.iter().filter(|(name, raw)| !is_close(name, raw));
    differing.map(|(name, _)| name.clone()).collect()
}
