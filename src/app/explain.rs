//! Explains an image as planned: runs the passes that the methods share, then the methods.

use crate::app::explain_options::ExplainOptions;
use std::time::Instant;

use image::RgbImage;
use ndarray::Array4;

use super::layer_job::{LayerJob, Subject, normalizer};
use super::validate::{self, ExplainPlan};
use crate::engine::{CancellationToken, Model, PassOutput, PassRequest};
use crate::error::Result;
use crate::explain::Method;
use crate::explain::ProgressObserver;
use crate::explain::multi_layer;
use crate::explain::normalise::Normalizer;
use crate::explain::result::{Explanation, Timing, ms_since};
use crate::graph::program_io::GradientOf;
use crate::telemetry::stage;

/// Explains one image with one method, one map per class. The maps share all passes, so each
/// reports the passes and the time of all.
///
/// # Errors
/// Those of [`validate::explanation`] and of the engine.
pub fn explain(
    model: &Model,
    image: &RgbImage,
    options: &ExplainOptions,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    compare(model, image, &[options.method], options, cancel, observer)
}

/// Explains one image with several methods, one map per method and class. Methods that
/// differentiate the same score share one forward pass.
///
/// # Errors
/// As [`explain`].
pub fn compare(
    model: &Model,
    image: &RgbImage,
    methods: &[Method],
    options: &ExplainOptions,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    explain_image(&validate::explanation(model, methods, options)?, image, cancel, observer)
}

/// Explains one image as planned: one map per method and class.
///
/// # Errors
/// Those of the engine, and of [`validate::distinct`] once the predicted class is known.
pub fn explain_image(
    plan: &ExplainPlan<'_>,
    image: &RgbImage,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    let preprocess = plan.model.preprocess();
    let started = Instant::now();
    let input = preprocess.tensor(image);
    let preprocess_ms = ms_since(started);
    let visible_rect = preprocess.visible_rect(image.width(), image.height());
    let subject = Subject { input: &input, visible_rect, cancel, observer };
    let mut explanations = run(plan, subject)?;
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
    options: &ExplainOptions,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    explain_tensor(&validate::explanation(model, methods, options)?, input, cancel, observer)
}

/// Explains an input tensor as planned.
///
/// # Errors
/// As [`explain_image`].
pub(super) fn explain_tensor(
    plan: &ExplainPlan<'_>,
    input: &Array4<f32>,
    cancel: &CancellationToken,
    observer: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    let preprocess = plan.model.preprocess();
    let visible_rect = [0.0, 0.0, preprocess.width as f32, preprocess.height as f32];
    run(plan, Subject { input, visible_rect, cancel, observer })
}

/// A pass of the image itself: one output per layer.
struct SharedPass {
    gradient_of: GradientOf,
    outputs: Vec<PassOutput>,
    duration_ms: f64,
}

fn run(plan: &ExplainPlan<'_>, subject: Subject<'_>) -> Result<Vec<Explanation>> {
    let is_fused = plan.layers.len() > 1;
    let mut options = plan.options.clone();
    if is_fused {
        options.normalize = multi_layer::per_layer_normalization(options.normalize);
    }
    let job = |&layer| LayerJob { plan, options: &options, subject, layer };
    let jobs: Vec<LayerJob<'_>> = plan.layers.iter().map(job).collect();

    // A pass with a gradient also serves the methods that need none.
    let needs_gradient = |gradient: &GradientOf| *gradient != GradientOf::None;
    let first = plan.gradients.iter().copied().find(needs_gradient).unwrap_or(GradientOf::None);
    let carry = plan.methods.iter().any(|method| method.spec().needs.tail());
    let mut passes: Vec<SharedPass> = Vec::new();
    let mut explanations = Vec::new();
    for (&method, &gradient) in plan.methods.iter().zip(&plan.gradients) {
        let gradient = if needs_gradient(&gradient) { gradient } else { first };
        let index = match passes.iter().position(|pass| pass.gradient_of == gradient) {
            Some(index) => index,
            None => {
                let pass = || run_pass(plan, subject, gradient, carry);
                passes.push(stage("forward").in_scope(pass)?);
                passes.len() - 1
            }
        };
        let explain = || explain_layers(&jobs, method, &passes[index]);
        let by_layer = stage("passes").in_scope(explain)?;
        if is_fused {
            explanations.extend(fuse(by_layer, normalizer(method.spec(), plan.options))?);
        } else {
            explanations.extend(by_layer.into_iter().flatten());
        }
    }
    Ok(explanations)
}

/// Runs one pass for all layers, or one per layer if each has side inputs of its own to carry to
/// its tail.
fn run_pass(
    plan: &ExplainPlan<'_>,
    subject: Subject<'_>,
    gradient_of: GradientOf,
    carry: bool,
) -> Result<SharedPass> {
    let started = Instant::now();
    let pass = PassRequest {
        targets: plan.targets.clone(),
        contrast: plan.contrast,
        gradient_of,
        activation: true,
        side_inputs: carry,
        ..PassRequest::new(subject.input.clone())
    };
    let outputs = if carry {
        let run = |layer| plan.model.run(layer, pass.clone(), subject.cancel);
        plan.layers.iter().copied().map(run).collect::<Result<_>>()?
    } else {
        plan.model.run_all(&plan.layers, pass, subject.cancel)?
    };
    Ok(SharedPass { gradient_of, outputs, duration_ms: ms_since(started) })
}

/// One method's explanations, `[layer][class]`. Only the first layer's explanations report the time
/// of the shared pass.
fn explain_layers(
    jobs: &[LayerJob<'_>],
    method: Method,
    pass: &SharedPass,
) -> Result<Vec<Vec<Explanation>>> {
    let of_layer = |(index, (job, output)): (usize, (&LayerJob<'_>, &PassOutput))| {
        let started = Instant::now();
        let maps = job.explain(method.spec(), output)?;
        let forward_ms = if index == 0 { pass.duration_ms } else { 0.0 };
        let timing = Timing { preprocess_ms: 0.0, forward_ms, explain_ms: ms_since(started) };
        Ok(maps.into_iter().map(|one| Explanation { timing, ..one }).collect())
    };
    jobs.iter().zip(&pass.outputs).enumerate().map(of_layer).collect()
}

/// Fuses the explanations of several layers, `[layer][class]`, into one per class.
fn fuse(by_layer: Vec<Vec<Explanation>>, normalizer: Normalizer) -> Result<Vec<Explanation>> {
    let mut by_layer: Vec<_> = by_layer.into_iter().map(Vec::into_iter).collect();
    let mut fused = Vec::new();
    loop {
        let of_class: Vec<Explanation> = by_layer.iter_mut().filter_map(Iterator::next).collect();
        if of_class.is_empty() {
            return Ok(fused);
        }
        fused.push(multi_layer::fuse(of_class, normalizer)?);
    }
}
