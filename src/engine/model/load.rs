//! Loading a model: from its folder to a session that has run once.
//!
//! The file is verified, its graph prepared for differentiation and measured by running it, and
//! what the manifest leaves open is read off both. Whatever is wrong with a folder is told here,
//! before the first request.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array4;

use super::Model;
use crate::engine::cache::Cache;
use crate::engine::cancel::CancellationToken;
use crate::engine::optimize::TargetCpu;
use crate::engine::optimize::operators::Operators;
use crate::engine::probe::{Probe, probe};
use crate::engine::programs::ProgramCompiler;
use crate::engine::runtime::Runtime;
use crate::engine::session::PassRequest;
use crate::engine::settings::Settings;
use crate::engine::worker::{ProgramKey, SessionFactory, Worker};
use crate::error::{Error, Kind, Result};
use crate::graph::explain_graph::{self, GradientOf};
use crate::graph::head;
use crate::graph::layers::{self, FORMS, Finder, Hints, Layer};
use crate::graph::prepared::PreparedModel;
use crate::model::ModelFolder;
use crate::model::manifest::{Color, Layout};
use crate::model::onnx_file::OnnxFile;
use crate::model::preprocess::Preprocess;

impl Model {
    /// Loads a model: verifies the file, reads the graph, measures it, makes the default layer's
    /// session.
    ///
    /// # Errors
    /// [`Kind::Setup`] with what is wrong with the folder or the model.
    pub(in crate::engine) fn load(
        folder: ModelFolder,
        runtime: &Runtime,
        settings: &Settings,
        cache: Cache,
    ) -> Result<Self> {
        folder.verify()?;
        let file = OnnxFile::open(&folder.onnx_path())?;
        if file.unknown_bytes() > 0 {
            tracing::warn!(
                model = folder.id,
                bytes = file.unknown_bytes(),
                "the file has fields unknown to camlens"
            );
        }
        let preprocess = complete(&folder, &PreparedModel::new(&file.model)?)?;
        let (prepared, Probe { shapes, takes_batches, .. }) = sound(runtime, &file, &preprocess)?;
        let graph = prepared.graph();
        let output = &folder.manifest.output;
        let setup = |what: String| Error::new(Kind::Setup, what);
        let score = head::find(
            graph,
            &shapes,
            output.name.as_deref(),
            output.kind,
            folder.labels.all().len(),
        )
        .map_err(setup)?;
        if output.name.is_none() && !score.others.is_empty() {
            tracing::warn!(
                model = folder.id,
                output = score.output,
                others = score.others.join(", "),
                "the model has several outputs; [output] name in model.toml chooses another one"
            );
        }
        let mut folder = folder;
        if score.is_binary() {
            folder.labels = folder.labels.for_binary();
        }

        let image = match preprocess.layout {
            Layout::Nchw => layers::Layout::Maps,
            Layout::Nhwc => layers::Layout::ChannelsLast,
        };
        let hints = Hints { image, tokens: folder.manifest.tokens };
        let finder = Finder::new(graph, &shapes, &score.tensor, hints);
        let mut layers = finder.find();
        for (alias, target) in &folder.manifest.layers {
            finder.name(&mut layers, alias, target).map_err(setup)?;
        }
        let unsupported_reasons: HashMap<String, String> = (layers.iter())
            .filter_map(|layer| {
                let unsupported_reason =
                    explain_graph::check(&prepared, &shapes, &score, layer).err()?;
                Some((layer.tensor.clone(), unsupported_reason))
            })
            .collect();
        let default_layer =
            default_layer(&layers, folder.manifest.default_layer.as_deref(), &unsupported_reasons)?;

        // ONNX Runtime 1.32 may crash when it optimises a graph of 16-bit floats with all it has.
        let optimise = !shapes.has_short_floats();
        let input_name = prepared.input.name.clone();
        let batch = if takes_batches { settings.batch.max(1) } else { 1 };
        let weights = file.folder().to_owned();
        let programs = Arc::new(ProgramCompiler {
            file,
            prepared,
            shapes,
            score: score.clone(),
            layers: layers.clone(),
            // Without optimising, filters would be arranged again for every pass.
            fast: settings
                .fast_kernels
                .then(|| TargetCpu { nchwc_block: runtime.block().filter(|_| optimise) }),
        });
        let source = {
            let programs = Arc::clone(&programs);
            let compile = Box::new(move |key: &ProgramKey| programs.compile(key));
            let (runtime, keep) = (runtime.clone(), settings.layer_sessions);
            let operators = Operators::new(runtime.threads(), settings.skip_zeros);
            SessionFactory { runtime, folder: weights, compile, optimise, operators, keep }
        };
        let worker = Worker::start(&folder.id, source, &layers[default_layer].tensor)?;
        let model = Self {
            folder,
            preprocess,
            input_name,
            score,
            layers,
            default_layer,
            unsupported_reasons,
            batch,
            cache,
            programs,
            worker,
        };
        model.warm_up()?;
        Ok(model)
    }

    /// The first run of a session lays out its memory; a request should not wait for that.
    fn warm_up(&self) -> Result<()> {
        let [first, second, third] = self.preprocess.shape();
        let layer = &self.layers[self.default_layer];
        let wanted = if self.unsupported_reasons.contains_key(&layer.tensor) {
            GradientOf::Nothing
        } else {
            GradientOf::Logit
        };
        let pass = PassRequest {
            gradient_of: wanted,
            activation: true,
            ..PassRequest::of(Array4::zeros((1, first, second, third)))
        };
        let key = ProgramKey::Whole(vec![layer.tensor.clone()]);
        self.worker.run(Some(key), pass.into(), &CancellationToken::default()).map(drop)
    }
}

/// The model with its opset upgraded where that provably changes nothing, and its shapes.
fn sound(
    runtime: &Runtime,
    file: &OnnxFile,
    preprocess: &Preprocess,
) -> Result<(PreparedModel, Probe)> {
    let shape = preprocess.shape();
    let upgraded = PreparedModel::new(&file.model)?.upgraded();
    match probe(runtime, file, &upgraded, shape) {
        Ok(found) if found.upgrade_is_sound && found.takes_batches => Ok((upgraded, found)),
        Ok(found) if found.upgrade_is_sound => {
            // Written down as 1 where it need not be; if letting go of it is not sound, images run
            // one by one.
            let freed = upgraded.with_free_batch(&found.shapes).and_then(|freed| {
                let proven = |again: &Probe| again.upgrade_is_sound && again.takes_batches;
                Some((probe(runtime, file, &freed, shape).ok().filter(proven)?, freed))
            });
            Ok(freed.map_or((upgraded, found), |(again, freed)| (freed, again)))
        }
        // Without the upgrade there is no gradient, but all else works.
        tried if upgraded.unsupported_reason.is_none() => {
            let unsupported_reason = match tried {
                Ok(_) => {
                    "the model gives other outputs when it is brought to a newer opset".to_owned()
                }
                Err(error) => {
                    format!("brought to a newer opset, the model does not run: {}", error.detail())
                }
            };
            let plain = PreparedModel {
                unsupported_reason: Some(unsupported_reason),
                ..PreparedModel::new(&file.model)?
            };
            let found = probe(runtime, file, &plain, shape)?;
            Ok((plain, found))
        }
        other => other.map(|found| (upgraded, found)),
    }
}

/// Fills in from the graph what the manifest leaves open.
fn complete(folder: &ModelFolder, prepared: &PreparedModel) -> Result<Preprocess> {
    const USUAL_SIZE: u32 = 224;
    let input = &folder.manifest.input;
    let sizes = prepared.input.sizes;
    let setup = |what: String| Error::new(Kind::Setup, format!("model '{}': {what}", folder.id));
    let layout = input.layout.unwrap_or(match sizes {
        [_, Some(1 | 3), _, _] => Layout::Nchw,
        [_, _, _, Some(1 | 3)] => Layout::Nhwc,
        _ => Layout::Nchw,
    });
    let (channels, height, width) = match layout {
        Layout::Nchw => (sizes[1], sizes[2], sizes[3]),
        Layout::Nhwc => (sizes[3], sizes[1], sizes[2]),
    };
    let color = match (input.color, channels) {
        (Some(color), Some(channels)) if color.channels() as i64 != channels => {
            let said = format!("{color:?}").to_lowercase();
            return Err(setup(format!(
                "model.toml says color {said}, its input has {channels} channels"
            )));
        }
        (Some(color), _) => color,
        (None, None | Some(3)) => Color::Rgb,
        (None, Some(1)) => Color::Gray,
        (None, Some(channels)) => {
            return Err(setup(format!(
                "its input has {channels} channels; images have 3, or 1 in gray"
            )));
        }
    };
    let [said_height, said_width] =
        input.size.map_or([None, None], |[height, width]| [Some(height), Some(width)]);
    let agree = |axis: &str, said: Option<u32>, graph: Option<i64>| match (said, graph) {
        (Some(said), Some(graph)) if i64::from(said) != graph => {
            Err(setup(format!("model.toml says {axis} {said}, the graph takes {graph}")))
        }
        (Some(said), _) => Ok(said),
        (None, Some(graph)) => Ok(u32::try_from(graph).unwrap_or(USUAL_SIZE)),
        (None, None) => Ok(USUAL_SIZE),
    };
    let (height, width) =
        (agree("height", said_height, height)?, agree("width", said_width, width)?);
    Preprocess::new(input, [height, width], layout, color, prepared.input.takes_bytes)
        .map_err(setup)
}

/// The manifest's, or else the last with a gradient that is no pooling: a pooled map is coarser for
/// nothing.
fn default_layer(
    layers: &[Layer],
    asked: Option<&str>,
    unsupported_reasons: &HashMap<String, String>,
) -> Result<usize> {
    let setup = |what: String| Error::new(Kind::Setup, what);
    if let Some(asked) = asked {
        let layer = layers::resolve(layers, asked)
            .ok_or_else(|| setup(format!("default_layer: the model has no layer '{asked}'")))?;
        return Ok(layers.iter().position(|other| other == layer).unwrap_or(0));
    }
    let best = |with_gradient: bool, no_pool: bool| {
        layers.iter().rposition(|layer| {
            let lacks_gradient = with_gradient && unsupported_reasons.contains_key(&layer.tensor);
            let is_coarse = no_pool && layer.is_pooled;
            !lacks_gradient && !is_coarse
        })
    };
    best(true, true)
        .or_else(|| best(true, false))
        .or_else(|| best(false, true))
        .or_else(|| best(false, false))
        .ok_or_else(|| setup(format!("the model has no layer that holds {FORMS}")))
}
