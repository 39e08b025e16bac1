//! One model that is loaded and ready: what it is, and the passes it runs.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array4;

use super::cache::{Cache, Image};
use super::cancel::Cancel;
use super::operators::Operators;
use super::probe::{Probe, probe};
use super::programs::Programs;
use super::runtime::Runtime;
use super::session::{Call, Outcome, Pass};
use super::settings::Settings;
use super::worker::{Key, Source, Worker};
use crate::error::{Error, Kind, Result};
use crate::graph::fast::Fused;
use crate::graph::file::OnnxFile;
use crate::graph::layers::{self, Finder, Hints, Layer};
use crate::graph::prepare::Prepared;
use crate::graph::program::{self, Wanted};
use crate::graph::score::{self, Link, Score};
use crate::graph::tail;
use crate::model::manifest::Layout;
use crate::model::preprocess::Preprocess;
use crate::model::{Labels, ModelFolder};

/// One model that is loaded and ready. It is shared by all requests; its worker thread takes turns.
pub struct Model {
    folder: ModelFolder,
    preprocess: Preprocess,
    input_name: String,
    score: Score,
    layers: Vec<Layer>,
    default_layer: usize,
    /// Why a layer has no gradient, by its tensor.
    obstacles: HashMap<String, String>,
    batch: usize,
    cache: Cache,
    programs: Arc<Programs>,
    worker: Worker,
}

impl Model {
    /// Loads a model: verifies the file, reads the graph, measures it, makes the default layer's session.
    ///
    /// # Errors
    /// [`Kind::Setup`] with what is wrong with the folder or the model.
    pub(super) fn load(
        folder: ModelFolder,
        runtime: &Runtime,
        settings: &Settings,
        cache: Cache,
    ) -> Result<Self> {
        folder.verify()?;
        let file = OnnxFile::open(&folder.onnx())?;
        if file.unknown_bytes() > 0 {
            tracing::warn!(
                model = folder.id,
                bytes = file.unknown_bytes(),
                "the file has fields unknown to camlens"
            );
        }
        let preprocess = complete(&folder, &Prepared::new(&file.model)?)?;
        let (prepared, Probe { shapes, takes_batches, .. }) = sound(runtime, &file, &preprocess)?;
        let graph = prepared.graph();
        let output = &folder.manifest.output;
        let setup = |what: String| Error::new(Kind::Setup, what);
        let score =
            score::find(graph, &shapes, output.name.as_deref(), output.kind, folder.labels.all().len())
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
            folder.labels = folder.labels.of_two();
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
        let obstacles: HashMap<String, String> = (layers.iter())
            .filter_map(|layer| {
                let obstacle = program::check(&prepared, &shapes, &score, layer).err()?;
                Some((layer.tensor.clone(), obstacle))
            })
            .collect();
        let default_layer = default_layer(&layers, folder.manifest.default_layer.as_deref(), &obstacles)?;

        // ONNX Runtime 1.32 may crash when it optimises a graph of 16-bit floats with all it has.
        let optimise = !shapes.has_short_floats();
        let input_name = prepared.input.name.clone();
        let batch = if takes_batches { settings.batch.max(1) } else { 1 };
        let weights = file.folder().to_owned();
        let programs = Arc::new(Programs {
            file,
            prepared,
            shapes,
            score: score.clone(),
            layers: layers.clone(),
            fast_kernels: settings.fast_kernels,
        });
        let source = {
            let programs = Arc::clone(&programs);
            let compile = Box::new(move |key: &Key| programs.compile(key));
            let (runtime, keep) = (runtime.clone(), settings.layer_sessions);
            let operators = Operators::new(runtime.threads(), settings.skip_zeros);
            Source { runtime, folder: weights, compile, optimise, operators, keep }
        };
        let worker = Worker::start(&folder.id, source, &layers[default_layer].tensor)?;
        let model = Self {
            folder,
            preprocess,
            input_name,
            score,
            layers,
            default_layer,
            obstacles,
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
        let (height, width) = (self.preprocess.height as usize, self.preprocess.width as usize);
        let shape = match self.preprocess.layout {
            Layout::Nchw => (1, 3, height, width),
            Layout::Nhwc => (1, height, width, 3),
        };
        let layer = &self.layers[self.default_layer];
        let wanted = if self.obstacles.contains_key(&layer.tensor) { Wanted::Nothing } else { Wanted::Logit };
        let pass = Pass { wanted, activation: true, ..Pass::of(Array4::zeros(shape)) };
        let key = Key::Whole(vec![layer.tensor.clone()]);
        self.worker.run(Some(key), pass.into(), &Cancel::default()).map(drop)
    }

    /// The model's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.folder.id
    }

    /// What camlens's own operators compute of the default layer's program, the runtime being slower.
    #[must_use]
    pub fn fused(&self) -> Fused {
        self.programs.fused(self.default_layer())
    }

    /// The folder that it was read from.
    #[must_use]
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// Its class names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.folder.labels
    }

    /// How many classes it tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.score.classes()
    }

    /// How it wants its input.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The name of the image input in the graph.
    #[must_use]
    pub fn input_name(&self) -> &str {
        &self.input_name
    }

    /// The name of the graph output that is explained.
    #[must_use]
    pub fn output_name(&self) -> &str {
        &self.score.output
    }

    /// The graph's other outputs.
    #[must_use]
    pub fn other_outputs(&self) -> &[String] {
        &self.score.others
    }

    /// How its scores become probabilities.
    #[must_use]
    pub fn link(&self) -> Link {
        self.score.link
    }

    /// How many masked images share a pass.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The layers that can be explained, in order of computation.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layer that is explained when a request names none.
    #[must_use]
    pub fn default_layer(&self) -> &Layer {
        &self.layers[self.default_layer]
    }

    /// The layer that a request means, by any of its names.
    ///
    /// # Errors
    /// [`Kind::UnknownLayer`] naming some that there are.
    pub fn layer(&self, asked: Option<&str>) -> Result<&Layer> {
        let Some(asked) = asked else { return Ok(self.default_layer()) };
        layers::resolve(&self.layers, asked).ok_or_else(|| {
            let last: Vec<&str> = self.layers.iter().rev().take(3).map(|layer| layer.name.as_str()).collect();
            Error::new(
                Kind::UnknownLayer,
                format!(
                    "model '{}' has no layer '{asked}'; its last ones are {}, GET /v1/models/{} lists all",
                    self.id(),
                    last.join(", "),
                    self.id()
                ),
            )
        })
    }

    /// Why a layer has no gradient, if it has none.
    #[must_use]
    pub fn gradient_obstacle(&self, layer: &Layer) -> Option<&str> {
        self.obstacles.get(&layer.tensor).map(String::as_str)
    }

    /// The ONNX graph that [`Model::run`] runs for a layer, encoded; its large weights are references to
    /// the model's own file.
    ///
    /// # Errors
    /// A fault.
    pub fn program(&self, layer: &Layer) -> Result<Vec<u8>> {
        let key = Key::Whole(vec![layer.tensor.clone()]);
        Ok(self.programs.compile(&key)?.model)
    }

    /// Why what stands behind a layer can't be run by itself, if it can't.
    #[must_use]
    pub fn tail_obstacle(&self, layer: &Layer) -> Option<String> {
        tail::check(&self.programs.prepared, &self.programs.shapes, &self.score, layer).err()
    }

    /// Runs a pass of `layer`'s program: forward, and what the pass wants besides. What is known of one
    /// image already is not computed again.
    ///
    /// # Errors
    /// [`Kind::NotANumber`], those of [`Cancel::check`], or a fault.
    pub fn run(&self, layer: &Layer, pass: Pass, cancel: &Cancel) -> Result<Outcome> {
        // Most tails read nothing but the activation; then the layer's usual program will do.
        if pass.carry && self.programs.tail(layer).is_ok_and(|tail| !tail.carried.is_empty()) {
            // What is carried over is not kept.
            return self.call(Some(Key::Head(layer.tensor.clone())), pass.into(), cancel);
        }
        only(self.run_all(&[layer], &pass, cancel)?)
    }

    /// Runs a pass of the program that several layers have in common: an outcome for each of them, from one forward
    /// pass and one backward pass. What is known of one image already is not computed again. Nothing is
    /// carried to tails.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run_all(&self, layers: &[&Layer], pass: &Pass, cancel: &Cancel) -> Result<Vec<Outcome>> {
        cancel.check()?;
        let image = |layer: &&Layer| self.cache.image(self.id(), &layer.tensor, &pass.input);
        let images: Option<Vec<_>> = layers.iter().map(image).collect();
        let known = |images: &Vec<Image<'_>>| images.iter().map(|image| image.outcome(pass)).collect();
        if let Some(outcomes) = images.as_ref().and_then(known) {
            return Ok(outcomes);
        }
        let key = Key::Whole(layers.iter().map(|layer| layer.tensor.clone()).collect());
        let outcomes = self.call_all(Some(key), pass.clone().into(), cancel)?;
        for (image, outcome) in images.iter().flatten().zip(&outcomes) {
            image.keep(pass, outcome);
        }
        Ok(outcomes)
    }

    /// Runs a plain forward pass: one of the default layer's program that wants nothing besides.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn forward(&self, input: Array4<f32>, cancel: &Cancel) -> Result<Outcome> {
        self.run(self.default_layer(), Pass::of(input), cancel)
    }

    /// A plain forward pass of inputs that nobody asks for twice.
    pub(super) fn pass(&self, input: Array4<f32>, cancel: &Cancel) -> Result<Outcome> {
        self.call(None, Pass::of(input).into(), cancel)
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Runs the program of one layer, or any that is at hand.
    pub(super) fn call(&self, key: Option<Key>, call: Call, cancel: &Cancel) -> Result<Outcome> {
        only(self.call_all(key, call, cancel)?)
    }

    fn call_all(&self, key: Option<Key>, call: Call, cancel: &Cancel) -> Result<Vec<Outcome>> {
        self.worker.run(key, call, cancel)?.into_iter().map(|outcome| self.finite(outcome)).collect()
    }

    /// What is known of an image under the plain forward pass.
    pub(super) fn known(&self, input: &Array4<f32>) -> Option<Image<'_>> {
        self.cache.image(self.id(), &self.default_layer().tensor, input)
    }

    fn finite(&self, outcome: Outcome) -> Result<Outcome> {
        if outcome.scores.iter().chain(&outcome.probabilities).all(|value| value.is_finite()) {
            return Ok(outcome);
        }
        let detail = format!(
            "model '{}' gives NaN or infinity for this image, so there is nothing to explain",
            self.id()
        );
        Err(Error::new(Kind::NotANumber, detail))
    }
}

/// The outcome of a program with one layer.
fn only(outcomes: Vec<Outcome>) -> Result<Outcome> {
    let first = outcomes.into_iter().next();
    first.ok_or_else(|| Error::internal("running the model", "a program without layers"))
}

/// The model with its opset upgraded where that provably changes nothing, and its shapes.
fn sound(runtime: &Runtime, file: &OnnxFile, preprocess: &Preprocess) -> Result<(Prepared, Probe)> {
    let (height, width) = (preprocess.height as usize, preprocess.width as usize);
    let shape = match preprocess.layout {
        Layout::Nchw => [3, height, width],
        Layout::Nhwc => [height, width, 3],
    };
    let upgraded = Prepared::new(&file.model)?.upgraded();
    let first = probe(runtime, file, &upgraded, shape);
    match first {
        Ok(found) if found.upgrade_is_sound => Ok((upgraded, found)),
        // Without the upgrade there is no gradient, but all else works.
        Ok(_) | Err(_) if upgraded.obstacle.is_none() => {
            let obstacle = "the model gives other outputs when it is brought to a newer opset".to_owned();
            let plain = Prepared { obstacle: Some(obstacle), ..Prepared::new(&file.model)? };
            let found = probe(runtime, file, &plain, shape)?;
            Ok((plain, found))
        }
        other => other.map(|found| (upgraded, found)),
    }
}

/// Fills in from the graph what the manifest leaves open.
fn complete(folder: &ModelFolder, prepared: &Prepared) -> Result<Preprocess> {
    const USUAL_SIZE: u32 = 224;
    let input = &folder.manifest.input;
    let sizes = prepared.input.sizes;
    let setup = |what: String| Error::new(Kind::Setup, format!("model '{}': {what}", folder.id));
    let layout = input.layout.unwrap_or(match sizes {
        [_, Some(3), _, _] => Layout::Nchw,
        [_, _, _, Some(3)] => Layout::Nhwc,
        _ => Layout::Nchw,
    });
    let (channels, height, width) = match layout {
        Layout::Nchw => (sizes[1], sizes[2], sizes[3]),
        Layout::Nhwc => (sizes[3], sizes[1], sizes[2]),
    };
    if channels.is_some_and(|channels| channels != 3) {
        return Err(setup(format!("its input has {} channels, camlens feeds 3", channels.unwrap_or(0))));
    }
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
    let (height, width) = (agree("height", said_height, height)?, agree("width", said_width, width)?);
    Ok(Preprocess { height, width, layout, input: input.clone() })
}

/// The manifest's, or else the last with a gradient that is no pooling: a pooled map is coarser for nothing.
fn default_layer(
    layers: &[Layer],
    asked: Option<&str>,
    obstacles: &HashMap<String, String>,
) -> Result<usize> {
    let setup = |what: String| Error::new(Kind::Setup, what);
    if let Some(asked) = asked {
        let layer = layers::resolve(layers, asked)
            .ok_or_else(|| setup(format!("default_layer: the model has no layer '{asked}'")))?;
        return Ok(layers.iter().position(|other| other == layer).unwrap_or(0));
    }
    let best = |with_gradient: bool, no_pool: bool| {
        layers.iter().rposition(|layer| {
            let lacks_gradient = with_gradient && obstacles.contains_key(&layer.tensor);
            let is_coarse = no_pool && layer.is_pooled;
            !lacks_gradient && !is_coarse
        })
    };
    best(true, true)
        .or_else(|| best(true, false))
        .or_else(|| best(false, true))
        .or_else(|| best(false, false))
        .ok_or_else(|| setup("the model has no layer that holds maps: [N, C, h, w], [N, h, w, C], or tokens [N, T, C] of a known grid".into()))
}
