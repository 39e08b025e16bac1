//! One request from picture to map.

use std::time::Instant;

use image::RgbImage;
use ndarray::Array4;

use super::comma_list::split;
use super::job::{Job, Request, finish};
use crate::engine::{CancellationToken, Model, PassOutput, PassRequest};
use crate::error::{Error, Kind, Result};
use crate::explain::fusion::{self, MOST_LAYERS};
use crate::explain::normalize::Finish;
use crate::explain::options::{Method, Options};
use crate::explain::result::{Explanation, Timing, ms_since};
use crate::explain::ProgressObserver;
use crate::graph::explain_graph::GradientOf;
use crate::graph::layers::Layer;

/// Explains one image with one method: a map for each class that is asked about. They share all
/// their passes, so that each tells the passes and the time of all.
///
/// # Errors
/// Those of the contract's table that concern classes, layers, methods and the engine.
pub fn explain(
    model: &Model,
    image: &RgbImage,
    options: &Options,
    cancel: &CancellationToken,
    watch: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    compare(model, image, &[options.method], options, cancel, watch)
}

/// Explains one image with several methods: for each of them a map for each class. Methods that
/// differentiate the same score share one forward pass.
///
/// # Errors
/// As [`explain`].
pub fn compare(
    model: &Model,
    image: &RgbImage,
    methods: &[Method],
    options: &Options,
    cancel: &CancellationToken,
    watch: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    let started = Instant::now();
    let input = model.preprocess().tensor(image);
    let preprocess_ms = ms_since(started);
    let seen = model.preprocess().seen(image.width(), image.height());
    let request = Request { model, input: &input, seen, options, cancel, watch };
    let mut explanations = request.run(methods)?;
    for explanation in &mut explanations {
        explanation.timing.preprocess_ms = preprocess_ms;
    }
    Ok(explanations)
}

/// Explains an input tensor, `[1, C, H, W]` or `[1, H, W, C]` as the model takes it.
///
/// # Errors
/// As [`explain`].
pub fn explain_input(
    model: &Model,
    input: &Array4<f32>,
    methods: &[Method],
    options: &Options,
    cancel: &CancellationToken,
    watch: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    let preprocess = model.preprocess();
    let seen = [0.0, 0.0, preprocess.width as f32, preprocess.height as f32];
    Request { model, input, seen, options, cancel, watch }.run(methods)
}

/// What one pass gave: an outcome for each layer.
struct Ran {
    gradient_of: GradientOf,
    outcomes: Vec<PassOutput>,
    took_ms: f64,
}

impl Request<'_> {
    fn run(self, methods: &[Method]) -> Result<Vec<Explanation>> {
        let layers = layers(self.model, self.options)?;
        let is_fused = layers.len() > 1;
        let options = if is_fused { fusion::of_each(self.options) } else { self.options.clone() };
        let each = Request { options: &options, ..self };
        let jobs: Vec<Job<'_>> =
            layers.iter().map(|layer| Job::new(each, layer)).collect::<Result<_>>()?;
        // What one layer does not allow is told before any pass is run.
        let wanted = |&method: &Method| {
            let of_layers =
                jobs.iter().map(|job| job.gradient_of(method)).collect::<Result<Vec<_>>>()?;
            Ok(of_layers
                .into_iter()
                .find(|wanted| *wanted != GradientOf::Nothing)
                .unwrap_or(GradientOf::Nothing))
        };
        let wanted: Vec<GradientOf> = methods.iter().map(wanted).collect::<Result<_>>()?;

        // A pass with a gradient serves the methods that need none, too.
        let main = wanted
            .iter()
            .copied()
            .find(|wanted| *wanted != GradientOf::Nothing)
            .unwrap_or(GradientOf::Nothing);
        let carry = methods.iter().any(|method| method.row().needs.tail());
        let mut passes: Vec<Ran> = Vec::new();
        let mut explanations = Vec::new();
        for (&method, wanted) in methods.iter().zip(wanted) {
            let wanted = if wanted == GradientOf::Nothing { main } else { wanted };
            let index = match passes.iter().position(|ran| ran.gradient_of == wanted) {
                Some(index) => index,
                None => {
                    passes.push(each.pass(&jobs, wanted, carry)?);
                    passes.len() - 1
                }
            };
            let by_layer = each.explain(&jobs, method, &passes[index])?;
            if is_fused {
                explanations.extend(fused(by_layer, finish(method.row(), self.options))?);
            } else {
                explanations.extend(by_layer.into_iter().flatten());
            }
        }
        Ok(explanations)
    }

    /// One pass for all layers, but where each must carry something of its own to its tail.
    fn pass(self, jobs: &[Job<'_>], gradient_of: GradientOf, carry: bool) -> Result<Ran> {
        let started = Instant::now();
        let pass = PassRequest {
            targets: jobs[0].targets.clone(),
            contrast: jobs[0].contrast,
            gradient_of,
            activation: true,
            carry,
            ..PassRequest::of(self.input.clone())
        };
        let layers: Vec<&Layer> = jobs.iter().map(|job| job.layer).collect();
        let outcomes = if carry {
            let of_layer = |layer: &&Layer| self.model.run(layer, pass.clone(), self.cancel);
            layers.iter().map(of_layer).collect::<Result<_>>()?
        } else {
            self.model.run_all(&layers, pass, self.cancel)?
        };
        Ok(Ran { gradient_of, outcomes, took_ms: ms_since(started) })
    }

    /// One method's explanations, layer by layer. The first layer's tells the time of the pass that
    /// they share.
    fn explain(self, jobs: &[Job<'_>], method: Method, ran: &Ran) -> Result<Vec<Vec<Explanation>>> {
        let of_layer = |(place, (job, outcome)): (usize, (&Job<'_>, &PassOutput))| {
            let started = Instant::now();
            let maps = job.explain(method.row(), outcome)?;
            let forward_ms = if place == 0 { ran.took_ms } else { 0.0 };
            let timing = Timing { preprocess_ms: 0.0, forward_ms, explain_ms: ms_since(started) };
            Ok(maps.into_iter().map(|one| Explanation { timing, ..one }).collect())
        };
        jobs.iter().zip(&ran.outcomes).enumerate().map(of_layer).collect()
    }
}

/// The explanations of several layers, `[layer][class]`, as one for each class.
fn fused(by_layer: Vec<Vec<Explanation>>, finish: Finish) -> Result<Vec<Explanation>> {
    let mut by_layer: Vec<_> = by_layer.into_iter().map(Vec::into_iter).collect();
    let mut fused = Vec::new();
    loop {
        let of_class: Vec<Explanation> = by_layer.iter_mut().filter_map(Iterator::next).collect();
        if of_class.is_empty() {
            return Ok(fused);
        }
        fused.push(fusion::fuse(of_class, finish)?);
    }
}

/// The layers that a request names, or the model's default; there is at least one.
fn layers<'a>(model: &'a Model, options: &Options) -> Result<Vec<&'a Layer>> {
    let Some(asked) = &options.layer else { return Ok(vec![model.default_layer()]) };
    let invalid = |detail: String| Err(Error::new(Kind::Option, detail).about("layer"));
    let mut layers: Vec<&Layer> = Vec::new();
    for name in split(asked, |name| model.layer(Some(name)).is_ok()) {
        if name.is_empty() {
            return invalid("option 'layer' has an empty place between its commas".into());
        }
        if layers.len() == MOST_LAYERS {
            return invalid(format!("option 'layer' takes {MOST_LAYERS} layers at most"));
        }
        let layer = model.layer(Some(name))?;
        if layers.contains(&layer) {
            return invalid(format!("option 'layer' names layer '{}' twice", layer.name));
        }
        layers.push(layer);
    }
    Ok(layers)
}
