//! Executes a request: decode the image, validate, run the model, render, write the response.
//!
//! Everything here blocks and checks the [`CancellationToken`] between steps. The server calls it
//! from threads that may block, the command line from its main thread.

use std::time::Instant;

use image::RgbImage;
use ndarray::{Array2, Array4, Axis, stack};

use super::explain::{explain_image, explain_tensor};
use super::operation::Operation;
use super::options::Output;
use super::predict::{predict, predict_tensor};
use super::render;
use super::render::figure::{self, FigureKind};
use super::request::{ExplainRequest, RequestOptions};
use super::response::{self, ExplainResponse, ImageSize, TimingMs, json, provenance};
use super::validate;
use crate::engine::{CancellationToken, Model};
use crate::error::{Error, Result};
use crate::explain::Method;
use crate::explain::result::{Predictions, ms_since};
use crate::explain::{Explanation, ProgressObserver};
use crate::picture::decode::{Limits, decode};
use crate::picture::encode;
use crate::picture::overlay::{gray, heatmap};
use crate::telemetry::stage;

/// Executes one request.
///
/// # Errors
/// Those of decoding, [`validate`] and the engine.
pub fn execute(
    model: &Model,
    request: &ExplainRequest,
    limits: Limits,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<ExplainResponse> {
    let started = Instant::now();
    let image = stage("decode").in_scope(|| decode(&request.image, &limits))?;
    let decode_ms = ms_since(started);
    let options = &request.options;
    let execution = Execution { model, options, image, tensor: None, decode_ms, cancel, observer };
    execution.respond(request.operation, limits)
}

/// The maps of one image, and the picture of them.
#[derive(Debug)]
pub struct Explained {
    /// One explanation per class.
    pub explanations: Vec<Explanation>,
    /// Their maps `[h, w]` at the requested size.
    pub maps: Vec<Array2<f32>>,
    /// The picture, if one is wanted.
    pub picture: Option<ExplainResponse>,
}

/// Explains an image file for a caller that stores the maps itself. `picture` are the options of a
/// picture that is drawn as well; the explanation is that of the request.
///
/// # Errors
/// As [`execute`].
pub fn execute_maps(
    model: &Model,
    request: &ExplainRequest,
    picture: Option<&RequestOptions>,
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<Explained> {
    let started = Instant::now();
    let image = stage("decode").in_scope(|| decode(&request.image, &limits))?;
    let decode_ms = ms_since(started);
    let options = &request.options;
    let observer: &dyn ProgressObserver = &|_, _| {};
    let execution = Execution { model, options, image, tensor: None, decode_ms, cancel, observer };
    let explanations = execution.explanations(request.operation, limits)?;
    let rendering = &options.rendering;
    let maps = explanations.iter().map(|one| render::map(one, &execution.image, rendering));
    let maps = maps.collect();
    let picture = match picture {
        Some(options) => {
            let drawn = Execution { options, ..execution };
            Some(drawn.rendered(request.operation, &explanations)?)
        }
        None => None,
    };
    Ok(Explained { explanations, maps, picture })
}

/// One image or tensor on its way through a model.
pub(super) struct Execution<'a> {
    pub(super) model: &'a Model,
    pub(super) options: &'a RequestOptions,
    /// The image. For a tensor it has the input's size and no content.
    pub(super) image: RgbImage,
    /// The model's input, if the client preprocessed the image itself.
    pub(super) tensor: Option<&'a Array4<f32>>,
    pub(super) decode_ms: f64,
    pub(super) cancel: &'a CancellationToken,
    pub(super) observer: &'a dyn ProgressObserver,
}

/// Resizes unfinished maps like the finished one before they are sent on.
impl ProgressObserver for Execution<'_> {
    fn progress(&self, method: Method, done: usize, total: usize) {
        self.observer.progress(method, done, total);
    }

    fn wants_partial(&self) -> bool {
        self.observer.wants_partial()
    }

    fn partial(&self, unfinished: &Explanation, done: usize, total: usize) {
        let map = render::map(unfinished, &self.image, &self.options.rendering);
        self.observer.partial(&Explanation { map, ..unfinished.clone() }, done, total);
    }
}

impl Execution<'_> {
    /// The response of an operation.
    pub(super) fn respond(&self, operation: Operation, limits: Limits) -> Result<ExplainResponse> {
        self.cancel.check()?;
        match operation {
            Operation::Explain | Operation::Compare => self.explain(operation, limits),
            Operation::Predict => self.predict(),
        }
    }

    /// The maps of an operation, one per method and class.
    pub(super) fn explanations(
        &self,
        operation: Operation,
        limits: Limits,
    ) -> Result<Vec<Explanation>> {
        let Self { model, options, image, .. } = self;
        let classes = validate::targets(model, &options.explain)?.len().max(1);
        let size = image.dimensions();
        validate::form::check(operation, options, classes, size, limits.max_pixels)?;
        let plan = validate::explanation(model, &options.methods, &options.explain)?;
        let explanations = match self.tensor {
            Some(tensor) => explain_tensor(&plan, tensor, self.cancel, self),
            None => explain_image(&plan, image, self.cancel, self),
        }?;
        self.cancel.check()?;
        Ok(explanations)
    }

    fn explain(&self, operation: Operation, limits: Limits) -> Result<ExplainResponse> {
        self.rendered(operation, &self.explanations(operation, limits)?)
    }

    fn rendered(
        &self,
        operation: Operation,
        explanations: &[Explanation],
    ) -> Result<ExplainResponse> {
        let _rendering = stage("render").entered();
        match (operation, explanations) {
            (Operation::Compare, methods) => self.several_methods(methods),
            (_, [one]) => self.one_map(one),
            (_, classes) => self.several_classes(classes),
        }
    }

    fn one_map(&self, explanation: &Explanation) -> Result<ExplainResponse> {
        let Self { model, image, options, .. } = self;
        let rendering = &options.rendering;
        let started = Instant::now();
        let one = std::slice::from_ref(explanation);
        let timing = || self.timing(one, started);
        let format = rendering.format;
        let picture = |picture: RgbImage| {
            let file = encode::rgb(&picture, format, &provenance::metadata(one, &options.explain))?;
            Ok(response::picture(file, format, one, timing()))
        };
        if rendering.output == Output::Overlay {
            return picture(render::overlaid(explanation, image, model.preprocess(), rendering));
        }
        let (map, range) = (render::map(explanation, image, rendering), render::range(explanation));
        match rendering.output {
            Output::Gray => {
                let metadata = provenance::metadata(one, &options.explain);
                let file = encode::gray(&gray(map.view(), range), format, &metadata)?;
                Ok(response::picture(file, format, one, timing()))
            }
            Output::Npy => response::array(&map, one, timing()),
            Output::Json => json::explanation(explanation, &map, self.size(), timing()),
            Output::Heatmap | Output::Overlay | Output::Figure => {
                picture(heatmap(map.view(), range, rendering.colormap))
            }
        }
    }

    /// The maps of several classes, which share their passes and so their time.
    fn several_classes(&self, explanations: &[Explanation]) -> Result<ExplainResponse> {
        let Self { image, options, .. } = self;
        let rendering = &options.rendering;
        let started = Instant::now();
        let timing = || self.timing(&explanations[..1], started);
        if rendering.output.is_picture() {
            let response = self.figure(FigureKind::Classes, explanations)?;
            return Ok(ExplainResponse { timing: timing(), ..response });
        }
        let maps: Vec<_> =
            explanations.iter().map(|one| render::map(one, image, rendering)).collect();
        if rendering.output == Output::Json {
            return json::explanations(explanations, &maps, self.size(), timing());
        }
        let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
        let maps =
            stack(Axis(0), &views).map_err(|error| Error::internal("stacking maps", error))?;
        response::array(&maps, explanations, timing())
    }

    /// The maps of several methods.
    fn several_methods(&self, explanations: &[Explanation]) -> Result<ExplainResponse> {
        let Self { image, options, .. } = self;
        let rendering = &options.rendering;
        let started = Instant::now();
        if rendering.output == Output::Json {
            let maps: Vec<_> =
                explanations.iter().map(|one| render::map(one, image, rendering)).collect();
            let timing = self.timing(explanations, started);
            return json::comparison(explanations, &maps, self.size(), timing);
        }
        let response = self.figure(FigureKind::of_methods(&options.explain), explanations)?;
        Ok(ExplainResponse { timing: self.timing(explanations, started), ..response })
    }

    /// A figure, whose time is not known yet.
    fn figure(&self, kind: FigureKind, explanations: &[Explanation]) -> Result<ExplainResponse> {
        let Self { model, image, options, .. } = self;
        let (rendering, preprocess) = (&options.rendering, model.preprocess());
        let metadata = provenance::metadata(explanations, &options.explain);
        let drawn = figure::draw(kind, explanations, image, preprocess, rendering, metadata)?;
        let timing = self.timing(explanations, Instant::now());
        let mut response = response::picture(drawn.file, rendering.format, explanations, timing);
        response.facts.warnings.extend(drawn.warnings);
        Ok(response)
    }

    /// The most probable classes.
    pub(super) fn predictions(&self, top_k: usize) -> Result<Predictions> {
        match self.tensor {
            Some(tensor) => predict_tensor(self.model, tensor.clone(), top_k, self.cancel),
            None => predict(self.model, &self.image, top_k, self.cancel),
        }
    }

    fn predict(&self) -> Result<ExplainResponse> {
        let predictions = self.predictions(self.options.explain.top_k)?;
        let timing = TimingMs {
            decode: self.decode_ms + predictions.timing.preprocess_ms,
            forward: predictions.timing.forward_ms,
            explain: None,
            render: None,
        };
        json::predictions(predictions, self.size(), timing)
    }

    pub(super) fn size(&self) -> ImageSize {
        let (width, height) = self.image.dimensions();
        let seen = match self.tensor {
            Some(_) => [0.0, 0.0, width as f32, height as f32],
            None => self.model.preprocess().visible_rect(width, height),
        };
        ImageSize { width, height, seen }
    }

    /// Preprocessing counts as decoding. Methods share the passes of the image itself.
    pub(super) fn timing(
        &self,
        explanations: &[Explanation],
        rendering_since: Instant,
    ) -> TimingMs {
        let timings = || explanations.iter().map(|explanation| explanation.timing);
        let first = timings().next().unwrap_or_default();
        TimingMs {
            decode: self.decode_ms + first.preprocess_ms,
            forward: first.forward_ms,
            explain: Some(timings().map(|timing| timing.explain_ms).sum()),
            render: Some(ms_since(rendering_since)),
        }
    }
}
