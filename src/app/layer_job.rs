//! One layer's part of a request: from the output of a pass to finished maps.

use crate::app::explain_options::ExplainOptions;
use ndarray::{Array2, Array4};

use super::predict::{prediction, top};
use super::validate::method::score;
use super::validate::{self, ExplainPlan};
use super::warnings;
use crate::engine::{CancellationToken, PassOutput, predicted};
use crate::error::{Error, Kind, Result};
use crate::explain::MethodSpec;
use crate::explain::ProgressObserver;
use crate::explain::context::{MethodContext, first_image, gradients};
use crate::explain::normalise::Normalizer;
use crate::explain::result::{Explanation, Passes, TargetMap, Timing};
use crate::explain::rounding::is_rounding;
use crate::explain::target::ClassTarget;
use crate::graph::layers::Layer;

/// The input to explain, and the request's cancellation token and observer.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// `[1, C, H, W]` or `[1, H, W, C]`.
    pub(super) input: &'a Array4<f32>,
    /// The part of the image that the input shows, in pixels: left, top, width, height.
    pub(super) visible_rect: [f32; 4],
    pub(super) cancel: &'a CancellationToken,
    pub(super) observer: &'a dyn ProgressObserver,
}

/// How a method's finished map is normalised.
pub(super) fn normalizer(spec: &MethodSpec, options: &ExplainOptions) -> Normalizer {
    spec.normalizer(options.convention, options.normalize, options.signed)
}

/// One layer's part of a request.
pub(super) struct LayerJob<'a> {
    pub(super) plan: &'a ExplainPlan<'a>,
    /// The plan's options, with the normalisation of a single layer.
    pub(super) options: &'a ExplainOptions,
    pub(super) subject: Subject<'a>,
    pub(super) layer: &'a Layer,
}

impl LayerJob<'_> {
    /// What is explained. Without a named target it is the predicted class, known only now.
    fn targets(&self, output: &PassOutput) -> Result<Vec<ClassTarget>> {
        let ExplainPlan { targets, contrast, .. } = self.plan;
        let predicted = || vec![predicted(output.scores.row(0))];
        let targets = if targets.is_empty() { predicted() } else { targets.clone() };
        validate::distinct(&targets, *contrast)?;
        let target =
            |class| ClassTarget { class, contrast: *contrast, negate: self.options.negate };
        Ok(targets.into_iter().map(target).collect())
    }

    /// Computes a method's finished maps from the output of a pass.
    pub(super) fn explain(
        &self,
        spec: &MethodSpec,
        output: &PassOutput,
    ) -> Result<Vec<Explanation>> {
        let targets = self.targets(output)?;
        let gradients =
            if spec.needs.gradient() { gradients(output, &targets)? } else { Vec::new() };
        let preview = |map: Array2<f32>, target: &ClassTarget, passes: Passes| {
            self.explanation(spec, output, map, target, passes)
        };
        let context = MethodContext {
            activation: first_image(output.activation.as_ref(), "activation")?,
            gradients,
            targets: &targets,
            score: score(self.plan.model, spec, self.options),
            parameters: self.options.parameters(),
            method: spec.method,
            model: self.plan.model,
            layer: self.layer,
            side_inputs: &output.side_inputs,
            input: self.subject.input,
            cancellation: self.subject.cancel,
            observer: self.subject.observer,
            preview: &preview,
        };
        let mut passes = Passes { forward: usize::from(!output.from_cache), ..Passes::default() };
        let maps = (spec.maps)(&context, &mut passes)?;
        if maps.iter().any(|map| map.map.iter().any(|value| !value.is_finite())) {
            let detail = format!(
                "the map of layer '{}' by {} holds NaN or infinity: a gradient behind it is not \
                 finite, such as that of a square root at 0; method=scorecam needs no gradient",
                self.layer.name, spec.name
            );
            return Err(Error::new(Kind::NotANumber, detail));
        }
        let finished = |(index, map): (usize, TargetMap)| {
            let TargetMap { mut map, confidence } = map;
            let gradient = context.gradients.get(index).map(|gradient| gradient.view());
            let activation = context.activation;
            let is_rounding = gradient
                .is_some_and(|gradient| is_rounding(spec.method, &map, activation, gradient));
            if is_rounding {
                map.fill(0.0);
            }
            let mut finished = preview(map, &targets[index], passes);
            finished.confidence = confidence;
            let empty = warnings::empty_map(&finished, spec, activation, gradient, is_rounding);
            finished.warnings.extend(empty);
            finished
        };
        Ok(maps.into_iter().take(targets.len()).enumerate().map(finished).collect())
    }

    /// A finished map with its context.
    fn explanation(
        &self,
        spec: &MethodSpec,
        output: &PassOutput,
        map: Array2<f32>,
        target: &ClassTarget,
        passes: Passes,
    ) -> Explanation {
        let (model, options) = (self.plan.model, self.options);
        let normalizer = normalizer(spec, options);
        let normalized = normalizer.apply(map);
        let preprocess = model.preprocess();
        Explanation {
            model: model.id().to_owned(),
            method: spec.method,
            convention: options.convention,
            layer: self.layer.name.clone(),
            target: prediction(model, output, target.class),
            contrast: target.contrast.map(|class| prediction(model, output, class)),
            negate: target.negate,
            predictions: top(model, output, options.top_k),
            map: normalized.map,
            normalizer,
            signed: options.signed,
            max: normalized.max,
            empty: normalized.empty,
            estimated: spec.needs.gradient() && self.layer.is_straight_through,
            confidence: None,
            input_size: [preprocess.height as usize, preprocess.width as usize],
            visible_rect: self.subject.visible_rect,
            passes,
            timing: Timing::default(),
            warnings: warnings::of_map(model, spec, options, self.layer, output, target.class),
        }
    }
}
