//! Loads a model: from its folder to a session that has run once.
//!
//! Loading verifies the file, prepares its graph, measures the graph by running it, and analyses
//! it. Every fault of a model folder is reported here, before the first request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use ndarray::Array4;

use super::warnings::warnings;
use super::{Model, kernel_memory};
use crate::engine::cache::Cache;
use crate::engine::cancellation::CancellationToken;
use crate::engine::compiler::{ProgramCompiler, ProgramKey};
use crate::engine::optimize::TargetCpu;
use crate::engine::optimize::operators::Operators;
use crate::engine::probe::{Probe, facts_of_batch, probe};
use crate::engine::recent_mean::RecentMean;
use crate::engine::runtime::Runtime;
use crate::engine::session::PassRequest;
use crate::engine::settings::Settings;
use crate::engine::side_sessions::SideSessions;
use crate::engine::turns::Turns;
use crate::engine::worker::{SessionFactory, Worker};
use crate::error::{Error, Kind, Result};
use crate::graph::analysed::{AnalysedModel, AnalysisOptions};
use crate::graph::head::{OutputSamples, Selection};
use crate::graph::image_input::ImageInput;
use crate::graph::layers::{self, FORMS, Layer};
use crate::graph::prepared::PreparedModel;
use crate::graph::program_io::GradientOf;
use crate::memory;
use crate::model::manifest::{Color, Layout, MAX_INPUT_SIZE, Manifest};
use crate::model::onnx_file::OnnxFile;
use crate::model::preprocess::Preprocess;
use crate::model::{Labels, ModelFolder};
use crate::warning::{Warning, WarningCode};
use onnx_gradient::facts::TensorFacts;

impl Model {
    /// Loads a model: verifies the file, measures and analyses its graph, and opens the default
    /// layer's session.
    ///
    /// # Errors
    /// [`Kind::Setup`] that says what is wrong with the folder or the model.
    pub(in crate::engine) fn load(
        mut folder: ModelFolder,
        runtime: &Runtime,
        settings: &Settings,
        cache: Cache,
        turns: Turns,
    ) -> Result<Self> {
        let started = Instant::now();
        let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let file = folder.open(settings.weights)?;
        if file.unknown_bytes() > 0 {
            tracing::warn!(
                model = folder.id,
                bytes = file.unknown_bytes(),
                "the file has fields unknown to camlens"
            );
        }
        let read_ms = ms(started);
        let prepared = PreparedModel::new(&file.model)?;
        let preprocess = preprocess(&folder, &prepared.input)?;
        let (prepared, probe) = measured(runtime, &file, prepared, &preprocess)?;
        let measured_ms = ms(started);
        let Probe { facts, takes_batches, varying_outputs, samples, .. } = probe;
        let options = analysis_options(&folder, preprocess.layout, samples);
        let analysed = AnalysedModel::new(prepared, facts, &options)?;
        if matches!(analysed.head.selection, Some(Selection::Ranks(_))) {
            folder.labels = Labels::default();
        } else if analysed.head.is_binary() {
            folder.labels = folder.labels.for_binary();
        }
        let misfit = folder.labels.fit(analysed.head.classes());
        let misfit = misfit.map(|detail| Warning::new(WarningCode::LabelsDoNotFit, detail));
        folder.warnings.extend(misfit);
        let is_reproducible = !varying_outputs.contains(&analysed.head.output);
        let warnings = warnings(&folder, &analysed, is_reproducible);
        let default_layer = default_layer(&analysed, folder.manifest.default_layer.as_deref())?;

        let analysed = Arc::new(analysed);
        // ONNX Runtime 1.32 may crash when it fully optimises a graph of 16-bit floats.
        let optimise = !analysed.facts.has_short_floats();
        // Without optimisation, no constant is folded, so filters would be reordered in every run.
        let nchwc_block = runtime.nchwc_block().filter(|_| optimise);
        let transformed = kernel_memory::transformed_bytes(&file.model);
        let has_room = kernel_memory::fits(transformed, memory::limit_bytes());
        if settings.fast_kernels && !has_room {
            tracing::info!(
                model = folder.id,
                transformed_mib = transformed >> 20,
                "runs without camlens's own kernels: their filters would take more than a quarter \
                 of the memory limit"
            );
        }
        let fast_kernels = settings.fast_kernels && has_room;
        let compiler = Arc::new(ProgramCompiler {
            file,
            analysed: Arc::clone(&analysed),
            target_cpu: fast_kernels.then_some(TargetCpu { nchwc_block }),
            told_change: AtomicU8::new(0),
        });
        let factory = SessionFactory {
            runtime: runtime.clone(),
            compiler: Arc::clone(&compiler),
            optimise,
            operators: Operators::new(runtime.threads(), settings.skip_zeros),
            capacity: settings.layer_sessions,
        };
        let analysed_ms = ms(started);
        let layer = &analysed.layers[default_layer].tensor;
        let worker = Worker::start(&folder.id, factory.clone(), layer)?;
        let opened_ms = ms(started);
        let batch = if takes_batches { settings.batch.max(1) } else { 1 };
        static VERSIONS: AtomicU64 = AtomicU64::new(0);
        let cache_key = format!("{}/{}", folder.id, VERSIONS.fetch_add(1, Ordering::Relaxed));
        let mut model = Self {
            folder,
            preprocess,
            analysed,
            default_layer,
            batch,
            cache,
            cache_key,
            compiler,
            worker,
            side_sessions: SideSessions::default(),
            turns,
            threads: runtime.threads(),
            pass_time: RecentMean::default(),
            warnings,
        };
        let pass = model.warm_up()?;
        let parts = settings.parts(runtime.threads());
        let (layer, pass_time) = (&model.default_layer().tensor, model.pass_time());
        model.side_sessions = SideSessions::open(&factory, layer, parts, &pass, pass_time)?;
        model.compiler.check_files()?;
        let ready_ms = ms(started);
        // When each stage ended.
        tracing::debug!(read_ms, measured_ms, analysed_ms, opened_ms, ready_ms, "loaded a model");
        Ok(model)
    }

    /// Runs once, because the first run of a session allocates its memory, which no request should
    /// wait for. Returns the pass that it ran.
    fn warm_up(&self) -> Result<PassRequest> {
        let [first, second, third] = self.preprocess.shape();
        let layer = self.default_layer();
        let gradient_of = match self.gradient_unsupported_reason(layer) {
            Some(_) => GradientOf::None,
            None => GradientOf::Logit,
        };
        let pass = PassRequest {
            gradient_of,
            activation: true,
            ..PassRequest::new(Array4::zeros((1, first, second, third)))
        };
        let key = ProgramKey::Whole(vec![layer.tensor.clone()]);
        let (key, token) = (Some(key), CancellationToken::default());
        self.worker.run(key.clone(), pass.clone().into(), &token)?;
        // Again, because how long the first run took says nothing about the following ones.
        let began = Instant::now();
        self.worker.run(key, pass.clone().into(), &token)?;
        self.pass_time.add(began.elapsed());
        Ok(pass)
    }
}

fn analysis_options(
    folder: &ModelFolder,
    image_layout: Layout,
    samples: OutputSamples,
) -> AnalysisOptions<'_> {
    let Manifest { output, tokens, layers, default_layer, .. } = &folder.manifest;
    AnalysisOptions {
        output: output.name.as_deref(),
        output_kind: output.kind,
        label_count: folder.labels.all().len(),
        samples,
        image_layout: match image_layout {
            Layout::Nchw => layers::Layout::Maps,
            Layout::Nhwc => layers::Layout::ChannelsLast,
        },
        tokens: *tokens,
        aliases: layers.clone(),
        default_layer: default_layer.as_deref(),
    }
}

/// Runs the model to measure it, with its opset upgraded and its batch freed where that provably
/// changes no output.
fn measured(
    runtime: &Runtime,
    file: &OnnxFile,
    plain: PreparedModel,
    preprocess: &Preprocess,
) -> Result<(PreparedModel, Probe)> {
    let shape = preprocess.shape();
    let upgraded = plain.upgraded();
    // The exporter may have written its own batch size where any size works.
    let freed = |facts: &TensorFacts| {
        let freed = upgraded.with_free_batch(facts)?;
        let is_proven = |again: &Probe| again.unsound_reason.is_none() && again.takes_batches;
        Some((probe(runtime, file, &freed, shape).ok().filter(is_proven)?, freed))
    };
    let tried = probe(runtime, file, &upgraded, shape);
    if let (Err(error), Some(count)) = (&tried, upgraded.fixed_batch()) {
        let facts = facts_of_batch(runtime, file, &upgraded, shape, count);
        if let Some((again, freed)) = facts.ok().and_then(|facts| freed(&facts)) {
            return Ok((freed, again));
        }
        // The plain graph may do what the rewritten one can't.
        let reason = format!(
            "the file takes {count} images at once, and its graph runs with no other number: {}; \
             export it for one image, or with a free batch",
            error.detail()
        );
        let plain = PreparedModel { unsupported_reason: Some(reason.clone()), ..plain };
        let found = probe(runtime, file, &plain, shape);
        return Ok((plain, found.map_err(|_| Error::new(Kind::Setup, reason))?));
    }
    match tried {
        Ok(found) if found.unsound_reason.is_none() && found.takes_batches => Ok((upgraded, found)),
        Ok(found) if found.unsound_reason.is_none() => {
            // If freeing the batch is not sound, images run one by one.
            let again = freed(&found.facts);
            Ok(again.map_or((upgraded, found), |(again, freed)| (freed, again)))
        }
        // Without the rewriting there are no gradients, but everything else works.
        tried if upgraded.unsupported_reason.is_none() => {
            let reason = match tried {
                Ok(found) => found.unsound_reason.unwrap_or_default(),
                Err(error) => {
                    format!("the model does not run after the opset upgrade: {}", error.detail())
                }
            };
            let plain = PreparedModel { unsupported_reason: Some(reason), ..plain };
            let found = probe(runtime, file, &plain, shape)?;
            Ok((plain, found))
        }
        other => other.map(|found| (upgraded, found)),
    }
}

/// The preprocessing of the manifest, completed from the graph's input.
fn preprocess(folder: &ModelFolder, image: &ImageInput) -> Result<Preprocess> {
    const USUAL_SIZE: u32 = 224;
    let input = &folder.manifest.input;
    let sizes = image.sizes;
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
            let name = format!("{color:?}").to_lowercase();
            return Err(setup(format!(
                "model.toml says color {name}, its input has {channels} channels"
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
    let [manifest_height, manifest_width] =
        input.size.map_or([None, None], |[height, width]| [Some(height), Some(width)]);
    let size = |axis: &str, manifest: Option<u32>, graph: Option<i64>| match (manifest, graph) {
        (Some(manifest), Some(graph)) if i64::from(manifest) != graph => {
            Err(setup(format!("model.toml says {axis} {manifest}, the graph takes {graph}")))
        }
        (Some(manifest), _) => Ok(manifest),
        (None, Some(graph)) => match u32::try_from(graph) {
            Ok(size @ 1..=MAX_INPUT_SIZE) => Ok(size),
            _ => Err(setup(format!(
                "its input has {axis} {graph}; camlens takes from 1 to {MAX_INPUT_SIZE}"
            ))),
        },
        (None, None) => Ok(USUAL_SIZE),
    };
    let (height, width) =
        (size("height", manifest_height, height)?, size("width", manifest_width, width)?);
    Preprocess::new(input, [height, width], layout, color, image.takes_bytes).map_err(setup)
}

/// The layer of the manifest, or else the last one with a gradient that is not pooled: a pooled map
/// is coarser without any benefit. A layer of one channel is a gate, and comes after all others.
fn default_layer(analysed: &AnalysedModel, configured: Option<&str>) -> Result<usize> {
    let setup = |what: String| Error::new(Kind::Setup, what);
    let layers = &analysed.layers;
    if let Some(name) = configured {
        let layer = layers::find(layers, name)
            .or_else(|| layers::last_inside(layers, name))
            .ok_or_else(|| setup(format!("default_layer: the model has no layer '{name}'")))?;
        return Ok(layers.iter().position(|other| other == layer).unwrap_or(0));
    }
    let has_gradient = |layer: &Layer| analysed.gradient_unsupported_reason(layer).is_none();
    let last = |needs_gradient: bool, may_be_pooled: bool, least_channels: usize| {
        layers.iter().rposition(|layer| {
            (has_gradient(layer) || !needs_gradient)
                && (!layer.is_pooled || may_be_pooled)
                && layer.shape[0] >= least_channels
        })
    };
    let of_features = |least_channels: usize| {
        last(true, false, least_channels)
            .or_else(|| last(true, true, least_channels))
            .or_else(|| last(false, false, least_channels))
            .or_else(|| last(false, true, least_channels))
    };
    of_features(2)
        .or_else(|| of_features(1))
        .ok_or_else(|| setup(format!("the model has no layer that holds {FORMS}")))
}
