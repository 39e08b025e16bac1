//! One layer's part of a request: from the output of a pass to finished maps.

use std::cell::{Cell, RefCell};

use ndarray::{Array2, Array4};

use super::predict::{prediction, top};
use super::validate::method::score;
use super::validate::{self, ExplainPlan};
use crate::engine::{CancellationToken, PassOutput, predicted};
use crate::error::Result;
use crate::explain::ProgressObserver;
use crate::explain::goal::ClassTarget;
use crate::explain::methods::MethodSpec;
use crate::explain::normalize::{Finish, normalize};
use crate::explain::options::Options;
use crate::explain::result::{Explanation, Passes, Timing};
use crate::explain::stage::{MethodContext, first, gradients};
use crate::graph::layers::Layer;

/// The input that is explained, and who waits for it.
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
pub(super) fn finish(row: &MethodSpec, options: &Options) -> Finish {
    let how = options.normalize.unwrap_or(row.normalize(options.convention));
    Finish { how, epsilon: options.convention.epsilon(), cut: row.cuts, signed: options.signed }
}

/// One layer's part of a request.
pub(super) struct LayerJob<'a> {
    pub(super) plan: &'a ExplainPlan<'a>,
    /// The plan's options, with the normalisation of a single layer.
    pub(super) options: &'a Options,
    pub(super) subject: Subject<'a>,
    pub(super) layer: &'a Layer,
}

impl LayerJob<'_> {
    /// What is explained. Without a named target it is the predicted class, known only now.
    fn goals(&self, outcome: &PassOutput) -> Result<Vec<ClassTarget>> {
        let ExplainPlan { targets, contrast, .. } = self.plan;
        let predicted = || vec![predicted(outcome.scores.row(0))];
        let targets = if targets.is_empty() { predicted() } else { targets.clone() };
        validate::distinct(&targets, *contrast)?;
        let goal =
            |target| ClassTarget { target, contrast: *contrast, negate: self.options.negate };
        Ok(targets.into_iter().map(goal).collect())
    }

    /// From the output of a pass to a method's finished maps.
    pub(super) fn explain(
        &self,
        row: &MethodSpec,
        outcome: &PassOutput,
    ) -> Result<Vec<Explanation>> {
        let goals = self.goals(outcome)?;
        let gradients = if row.needs.gradient() { gradients(outcome, &goals)? } else { Vec::new() };
        let finish = |map: Array2<f32>, goal: &ClassTarget, passes: Passes| {
            self.explanation(row, outcome, map, goal, passes)
        };
        let stage = MethodContext {
            activation: first(outcome.activation.as_ref(), "activation")?,
            gradients,
            goals: &goals,
            score: score(row, self.options),
            options: self.options,
            method: row.method,
            model: self.plan.model,
            layer: self.layer,
            side_inputs: &outcome.side_inputs,
            input: self.subject.input,
            cancel: self.subject.cancel,
            watch: self.subject.observer,
            finish: &finish,
            shown: Cell::new(0),
            passes: Cell::new(Passes {
                forward: usize::from(!outcome.from_cache),
                ..Passes::default()
            }),
            confidences: RefCell::default(),
        };
        let maps = (row.maps)(&stage)?;
        let (passes, confidences) = (stage.passes.get(), stage.confidences.take());
        let finished = |(index, (map, goal)): (usize, (Array2<f32>, &ClassTarget))| {
            let confidence = confidences.get(index).copied();
            Explanation { confidence, ..finish(map, goal, passes) }
        };
        Ok(maps.into_iter().zip(&goals).enumerate().map(finished).collect())
    }

    /// A finished map with its context.
    fn explanation(
        &self,
        row: &MethodSpec,
        outcome: &PassOutput,
        map: Array2<f32>,
        goal: &ClassTarget,
        passes: Passes,
    ) -> Explanation {
        let (model, options) = (self.plan.model, self.options);
        let normalized = normalize(map, finish(row, options));
        let preprocess = model.preprocess();
        Explanation {
            model: model.id().to_owned(),
            method: row.method,
            convention: options.convention,
            layer: self.layer.name.clone(),
            target: prediction(model, outcome, goal.target),
            contrast: goal.contrast.map(|class| prediction(model, outcome, class)),
            negate: goal.negate,
            predictions: top(model, outcome, options.top_k),
            map: normalized.map,
            signed: options.signed,
            max: normalized.max,
            empty: normalized.empty,
            estimated: row.needs.gradient() && self.layer.is_estimated,
            confidence: None,
            input_size: [preprocess.height as usize, preprocess.width as usize],
            seen: self.subject.visible_rect,
            passes,
            timing: Timing::default(),
        }
    }
}
