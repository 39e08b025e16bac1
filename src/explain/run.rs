//! One request from picture to map.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use image::RgbImage;
use ndarray::{Array2, Array4, ArrayView1, ArrayView3, Axis};

use super::goal::{self, Goal};
use super::methods::{METHODS, Row};
use super::normalize::{Finish, normalize};
use super::options::{Convention, Method, Normalize, Options, ScoreKind};
use super::result::{Explanation, Passes, Prediction, Predictions, Timing};
use super::stage::Stage;
use super::watch::Watch;
use crate::engine::{Cancel, Model, Outcome, Pass};
use crate::error::{Error, Kind, Result};
use crate::graph::layers::Layer;
use crate::graph::program::Wanted;
use crate::graph::score::Link;

/// Explains one image with one method: a map for each class that is asked about. They share all their passes, so
/// that each tells the passes and the time of all.
///
/// # Errors
/// Those of the contract's table that concern classes, layers, methods and the engine.
pub fn explain(
    model: &Model,
    image: &RgbImage,
    options: &Options,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Vec<Explanation>> {
    compare(model, image, &[options.method], options, cancel, watch)
}

/// The classes that a request names; none where it leaves the choice to the model.
///
/// # Errors
/// Those of [`goal::targets`].
pub fn targets(model: &Model, options: &Options) -> Result<Vec<usize>> {
    let resolve = |asked: &String| goal::targets(model.labels(), model.classes(), asked);
    options.target.as_ref().map_or_else(|| Ok(Vec::new()), resolve)
}

/// Explains one image with several methods: for each of them a map for each class. Methods that differentiate
/// the same score share one forward pass.
///
/// # Errors
/// As [`explain`].
pub fn compare(
    model: &Model,
    image: &RgbImage,
    methods: &[Method],
    options: &Options,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Vec<Explanation>> {
    let started = Instant::now();
    let input = model.preprocess().tensor(image);
    let preprocess_ms = ms_since(started);
    let seen = model.preprocess().seen(image.width(), image.height());
    let mut explanations = Job::new(model, &input, seen, options, cancel, watch)?.run(methods)?;
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
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Vec<Explanation>> {
    let preprocess = model.preprocess();
    let seen = [0.0, 0.0, preprocess.width as f32, preprocess.height as f32];
    Job::new(model, input, seen, options, cancel, watch)?.run(methods)
}

/// One request with its names resolved.
struct Job<'a> {
    model: &'a Model,
    layer: &'a Layer,
    input: &'a Array4<f32>,
    /// The part of the image that the input shows.
    seen: [f32; 4],
    /// The classes; none for the predicted one.
    targets: Vec<usize>,
    contrast: Option<usize>,
    options: &'a Options,
    cancel: &'a Cancel,
    watch: &'a dyn Watch,
}

impl<'a> Job<'a> {
    fn new(
        model: &'a Model,
        input: &'a Array4<f32>,
        seen: [f32; 4],
        options: &'a Options,
        cancel: &'a Cancel,
        watch: &'a dyn Watch,
    ) -> Result<Self> {
        let layer = model.layer(options.layer.as_deref())?;
        let targets = targets(model, options)?;
        let resolve = |name: &str| model.labels().resolve(name, model.classes());
        let contrast = options.contrast.as_deref().map(resolve).transpose();
        let contrast = contrast.map_err(|error| error.about("contrast"))?;
        Ok(Self { model, layer, input, seen, targets, contrast, options, cancel, watch })
    }

    fn run(&self, methods: &[Method]) -> Result<Vec<Explanation>> {
        let wanted: Vec<Wanted> = methods.iter().map(|&method| self.wanted(method)).collect::<Result<_>>()?;

        // A pass with a gradient serves the methods that need none, too.
        let main =
            wanted.iter().copied().find(|wanted| *wanted != Wanted::Nothing).unwrap_or(Wanted::Nothing);
        let carry = methods.iter().any(|method| method.row().needs.tail());
        let mut passes: Vec<(Wanted, Outcome, f64)> = Vec::new();
        let mut explanations = Vec::with_capacity(methods.len());
        for (&method, wanted) in methods.iter().zip(wanted) {
            let wanted = if wanted == Wanted::Nothing { main } else { wanted };
            let index = match passes.iter().position(|(known, ..)| *known == wanted) {
                Some(index) => index,
                None => {
                    let started = Instant::now();
                    let pass = Pass {
                        target: self.targets.first().copied(),
                        others: self.targets.iter().skip(1).copied().collect(),
                        contrast: self.contrast,
                        wanted,
                        activation: true,
                        carry,
                        ..Pass::of(self.input.clone())
                    };
                    let outcome = self.model.run(self.layer, pass, self.cancel)?;
                    passes.push((wanted, outcome, ms_since(started)));
                    passes.len() - 1
                }
            };
            let (_, outcome, forward_ms) = &passes[index];
            let started = Instant::now();
            let of_method = self.explain(method.row(), outcome)?;
            let timing =
                Timing { preprocess_ms: 0.0, forward_ms: *forward_ms, explain_ms: ms_since(started) };
            explanations.extend(of_method.into_iter().map(|one| Explanation { timing, ..one }));
        }
        Ok(explanations)
    }

    /// The score that a method explains.
    fn score(&self, row: &Row) -> ScoreKind {
        self.options.score.unwrap_or(row.score(self.options.convention))
    }

    /// The gradient that a method needs, or why it can't be had.
    fn wanted(&self, method: Method) -> Result<Wanted> {
        let impossible = |why: String| Err(Error::new(Kind::Impossible, why));
        let row = method.row();
        let score = self.score(row);
        if row.sees_class && score == ScoreKind::Logit && self.model.link() == Link::Hidden {
            return impossible(format!(
                "model '{}' gives probabilities and hides their logits; score=probability works",
                self.model.id()
            ));
        }
        self.has_goal(row, score)?;
        if self.options.signed {
            self.has_sign(row, score)?;
        }
        if row.needs.tail()
            && let Some(obstacle) = self.model.tail_obstacle(self.layer)
        {
            return impossible(format!(
                "{} runs what stands behind layer '{}' by itself: {obstacle}; scorecam works without",
                row.title, self.layer.name
            ));
        }
        if !row.needs.gradient() {
            return Ok(Wanted::Nothing);
        }
        if let Some(obstacle) = self.model.gradient_obstacle(self.layer) {
            return impossible(format!(
                "{} needs a gradient, and layer '{}' has none: {obstacle}; scorecam works without",
                row.title, self.layer.name
            ));
        }
        Ok(match score {
            ScoreKind::Logit => Wanted::Logit,
            ScoreKind::Probability => Wanted::Probability,
        })
    }

    /// Whether passes are weighed by numbers of which none is below 0.
    fn weighs_by_positives(&self, row: &Row, score: ScoreKind) -> bool {
        row.weighs_by_score
            && (score == ScoreKind::Probability || self.options.convention == Convention::Article)
    }

    /// Refuses a signed map where a method makes none.
    fn has_sign(&self, row: &Row, score: ScoreKind) -> Result<()> {
        let refuse = |option: &str, why: String| Err(Error::new(Kind::Option, why).about(option));
        if self.options.normalize == Some(Normalize::MinMax) {
            let why = "option 'normalize' can't be 'minmax' of a signed map, whose 0 has to stay; it takes max or none";
            return refuse("normalize", why.into());
        }
        if !row.has_sign {
            let names: Vec<_> = METHODS.iter().filter(|row| row.has_sign).map(|row| row.name).collect();
            let why = format!(
                "{} does not tell for from against; option 'signed' is for {}",
                row.title,
                names.join(", ")
            );
            return refuse("signed", why);
        }
        if row.weighs_by_score && self.options.convention == Convention::PytorchGradCam {
            let why = format!(
                "{} by pytorch-grad-cam weighs by a softmax, of which nothing is below 0; convention=paper works with \
                 score=logit or contrast",
                row.title
            );
            return refuse("signed", why);
        }
        if self.weighs_by_positives(row, score) && self.contrast.is_none() {
            let cure = if self.options.convention == Convention::Article {
                "contrast"
            } else {
                "score=logit or contrast"
            };
            let why =
                format!("{} weighs by probabilities, and none is below 0; {cure} gives a sign", row.title);
            return refuse("signed", why);
        }
        Ok(())
    }

    /// Refuses a goal that a method can't have.
    fn has_goal(&self, row: &Row, score: ScoreKind) -> Result<()> {
        let options = self.options;
        let refuse = |option: &str, why: String| Err(Error::new(Kind::Impossible, why).about(option));
        let asked = match (self.contrast, options.negate) {
            (Some(_), _) => "contrast",
            (None, true) => "negate",
            (None, false) => return Ok(()),
        };
        if !row.sees_class {
            return refuse(asked, format!("{} looks at no class; leave out {asked}", row.title));
        }
        // Its softmax over the channels makes weights of any number.
        let is_relative = options.convention == Convention::PytorchGradCam;
        if asked == "negate" && self.weighs_by_positives(row, score) && !is_relative {
            return refuse(
                asked,
                format!(
                    "{} weighs by probabilities, and the negative of a probability speaks for nothing; \
                     score=logit or contrast works",
                    row.title
                ),
            );
        }
        Ok(())
    }

    /// What is explained, now that the predicted class is known.
    fn goals(&self, outcome: &Outcome) -> Result<Vec<Goal>> {
        let predicted = || vec![argmax(outcome.scores.row(0))];
        let targets = if self.targets.is_empty() { predicted() } else { self.targets.clone() };
        if let Some(target) = targets.iter().find(|target| self.contrast == Some(**target)) {
            let detail = format!("class {target} can't be told from itself; contrast takes another class");
            return Err(Error::new(Kind::Impossible, detail).about("contrast"));
        }
        let goal = |target| Goal { target, contrast: self.contrast, negate: self.options.negate };
        Ok(targets.into_iter().map(goal).collect())
    }

    /// From a pass to a method's finished maps.
    fn explain(&self, row: &Row, outcome: &Outcome) -> Result<Vec<Explanation>> {
        let goals = self.goals(outcome)?;
        let mut gradients = Vec::new();
        if row.needs.gradient() {
            let others = outcome.other_gradients.iter().map(Some);
            for gradient in std::iter::once(outcome.gradient.as_ref()).chain(others) {
                let gradient = first(gradient, "gradient")?.to_owned();
                gradients.push(if self.options.negate { -gradient } else { gradient });
            }
        }
        let finish =
            |map: Array2<f32>, goal: &Goal, passes: Passes| self.explanation(row, outcome, map, goal, passes);
        let stage = Stage {
            activation: first(outcome.activation.as_ref(), "activation")?,
            gradients,
            goals: &goals,
            score: self.score(row),
            options: self.options,
            method: row.method,
            model: self.model,
            layer: self.layer,
            carried: &outcome.carried,
            input: self.input,
            cancel: self.cancel,
            watch: self.watch,
            finish: &finish,
            passes: Cell::new(Passes { forward: usize::from(!outcome.is_known), ..Passes::default() }),
            confidences: RefCell::default(),
        };
        let maps = (row.maps)(&stage)?;
        let (passes, confidences) = (stage.passes.get(), stage.confidences.take());
        let finished = |(index, (map, goal)): (usize, (Array2<f32>, &Goal))| {
            let confidence = confidences.get(index).copied();
            Explanation { confidence, ..finish(map, goal, passes) }
        };
        Ok(maps.into_iter().zip(&goals).enumerate().map(finished).collect())
    }

    /// A finished map with all that belongs to it.
    fn explanation(
        &self,
        row: &Row,
        outcome: &Outcome,
        map: Array2<f32>,
        goal: &Goal,
        passes: Passes,
    ) -> Explanation {
        let (model, options) = (self.model, self.options);
        let how = options.normalize.unwrap_or(row.normalize(options.convention));
        let (epsilon, signed) = (options.convention.epsilon(), options.signed);
        let finish = Finish { how, epsilon, cut: row.cuts, signed };
        let normalized = normalize(map, finish);
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
            signed,
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

/// The first image's part of a pass's array.
fn first<'a>(array: Option<&'a Array4<f32>>, what: &'static str) -> Result<ArrayView3<'a, f32>> {
    let array = array.ok_or_else(|| Error::internal("explaining", format!("the pass gave no {what}")))?;
    Ok(array.index_axis(Axis(0), 0))
}

/// Names the most probable classes.
///
/// # Errors
/// As [`explain`].
pub fn predict(model: &Model, image: &RgbImage, top_k: usize, cancel: &Cancel) -> Result<Predictions> {
    let started = Instant::now();
    let input = model.preprocess().tensor(image);
    let preprocess_ms = ms_since(started);
    let started = Instant::now();
    let outcome = model.forward(input, cancel)?;
    Ok(Predictions {
        model: model.id().to_owned(),
        predictions: top(model, &outcome, top_k),
        passes: Passes { forward: usize::from(!outcome.is_known), ..Passes::default() },
        timing: Timing { preprocess_ms, forward_ms: ms_since(started), explain_ms: 0.0 },
    })
}

fn top(model: &Model, outcome: &Outcome, count: usize) -> Vec<Prediction> {
    let scores = outcome.scores.row(0);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.into_iter().take(count).map(|class| prediction(model, outcome, class)).collect()
}

fn prediction(model: &Model, outcome: &Outcome, class: usize) -> Prediction {
    Prediction {
        index: class,
        label: model.labels().get(class).map(str::to_owned),
        probability: outcome.probabilities[[0, class]],
        logit: (model.link() != Link::Hidden).then(|| outcome.scores[[0, class]]),
    }
}

fn argmax(scores: ArrayView1<'_, f32>) -> usize {
    let larger =
        |best: usize, (index, &score): (usize, &f32)| if score > scores[best] { index } else { best };
    scores.iter().enumerate().fold(0, larger)
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
