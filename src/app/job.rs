//! One layer's part of a request: from the outcome of a pass to finished maps.

use std::cell::{Cell, RefCell};

use ndarray::{Array2, Array4};

use super::class_list;
use super::predict::{prediction, top};
use crate::engine::{CancellationToken, Model, PassOutput, predicted};
use crate::error::{Error, Kind, Result};
use crate::explain::goal::ClassTarget;
use crate::explain::methods::MethodSpec;
use crate::explain::normalize::{Finish, normalize};
use crate::explain::options::Options;
use crate::explain::result::{Explanation, Passes, Timing};
use crate::explain::stage::{MethodContext, first, gradients};
use crate::explain::ProgressObserver;
use crate::graph::layers::Layer;

/// One request as it was asked.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) model: &'a Model,
    pub(super) input: &'a Array4<f32>,
    /// The part of the image that the input shows.
    pub(super) seen: [f32; 4],
    pub(super) options: &'a Options,
    pub(super) cancel: &'a CancellationToken,
    pub(super) watch: &'a dyn ProgressObserver,
}

/// The classes that a request names; none where it leaves the choice to the model.
///
/// # Errors
/// Those of [`class_list::targets`].
pub fn targets(model: &Model, options: &Options) -> Result<Vec<usize>> {
    let resolve = |asked: &String| class_list::targets(model.labels(), model.classes(), asked);
    options.target.as_ref().map_or_else(|| Ok(Vec::new()), resolve)
}

/// How a method's finished map is brought to 0..1.
pub(super) fn finish(row: &MethodSpec, options: &Options) -> Finish {
    let how = options.normalize.unwrap_or(row.normalize(options.convention));
    Finish { how, epsilon: options.convention.epsilon(), cut: row.cuts, signed: options.signed }
}

/// One request with its names resolved, about one layer.
pub(super) struct Job<'a> {
    pub(super) model: &'a Model,
    pub(super) layer: &'a Layer,
    input: &'a Array4<f32>,
    /// The part of the image that the input shows.
    seen: [f32; 4],
    /// The classes; none for the predicted one.
    pub(super) targets: Vec<usize>,
    pub(super) contrast: Option<usize>,
    pub(super) options: &'a Options,
    cancel: &'a CancellationToken,
    watch: &'a dyn ProgressObserver,
}

impl<'a> Job<'a> {
    pub(super) fn new(request: Request<'a>, layer: &'a Layer) -> Result<Self> {
        let Request { model, input, seen, options, cancel, watch } = request;
        let targets = targets(model, options)?;
        let resolve = |name: &str| model.labels().resolve(name, model.classes());
        let contrast = options.contrast.as_deref().map(resolve).transpose();
        let contrast = contrast.map_err(|error| error.about("contrast"))?;
        Ok(Self { model, layer, input, seen, targets, contrast, options, cancel, watch })
    }

    /// What is explained, now that the predicted class is known.
    fn goals(&self, outcome: &PassOutput) -> Result<Vec<ClassTarget>> {
        let unasked = || vec![predicted(outcome.scores.row(0))];
        let targets = if self.targets.is_empty() { unasked() } else { self.targets.clone() };
        if let Some(target) = targets.iter().find(|target| self.contrast == Some(**target)) {
            let detail =
                format!("class {target} can't be told from itself; contrast takes another class");
            return Err(Error::new(Kind::Impossible, detail).about("contrast"));
        }
        let goal =
            |target| ClassTarget { target, contrast: self.contrast, negate: self.options.negate };
        Ok(targets.into_iter().map(goal).collect())
    }

    /// From a pass to a method's finished maps.
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
            score: self.score(row),
            options: self.options,
            method: row.method,
            model: self.model,
            layer: self.layer,
            side_inputs: &outcome.side_inputs,
            input: self.input,
            cancel: self.cancel,
            watch: self.watch,
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

    /// A finished map with all that belongs to it.
    fn explanation(
        &self,
        row: &MethodSpec,
        outcome: &PassOutput,
        map: Array2<f32>,
        goal: &ClassTarget,
        passes: Passes,
    ) -> Explanation {
        let (model, options) = (self.model, self.options);
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
            seen: self.seen,
            passes,
            timing: Timing::default(),
        }
    }
}
