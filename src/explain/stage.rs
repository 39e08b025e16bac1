//! What a method has to work with: the arrays of a pass, and ways to run more of them.
//!
//! A [`MethodContext`] is one method on one layer of one image. The gradients that the method
//! said it needs are there already; masked passes it asks for itself, and the stage
//! counts them, tells the progress, and stops when the request is given up.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use ndarray::{
    Array1, Array2, Array3, Array4, ArrayD, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3,
    Axis, CowArray, Ix3,
};

use super::estimate::Confidence;
use super::goal::ClassTarget;
use super::options::{Method, Options, ScoreKind};
use super::result::{Explanation, Passes};
use super::watch::ProgressObserver;
use super::weighted_sum;
use crate::engine::{
    CancellationToken, MaskedInput, Model, PassOutput, PassRequest, PassScores, TailRunner,
    masked_passes,
};
use crate::error::{Error, Result};
use crate::graph::layers::Layer;
use crate::model::manifest::Layout;

/// One method on one layer of one image.
pub struct MethodContext<'a> {
    /// The layer's activation, `[C, h, w]`.
    pub activation: ArrayView3<'a, f32>,
    /// For each goal its gradient at the layer, `[C, h, w]`; none for a method that needs none.
    pub gradients: Vec<CowArray<'a, f32, Ix3>>,
    /// What is to be explained; there is at least one.
    pub goals: &'a [ClassTarget],
    /// The score that goals are differences of.
    pub score: ScoreKind,
    /// What was asked for.
    pub options: &'a Options,
    pub(crate) method: Method,
    pub(crate) model: &'a Model,
    pub(crate) layer: &'a Layer,
    /// What the tail reads besides the activation.
    pub(crate) side_inputs: &'a [ArrayD<f32>],
    pub(crate) input: &'a Array4<f32>,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) watch: &'a dyn ProgressObserver,
    /// Makes an answer of a map, for whoever watches.
    pub(crate) finish: &'a dyn Fn(Array2<f32>, &ClassTarget, Passes) -> Explanation,
    /// The goal that unfinished maps are of, in a method that takes them one by one.
    pub(crate) shown: Cell<usize>,
    pub(crate) passes: Cell<Passes>,
    /// How far to trust the maps, where they are estimates: one for each goal, in their order.
    pub(crate) confidences: RefCell<Vec<Confidence>>,
}

impl MethodContext<'_> {
    /// The maps of a method that needs a gradient and nothing else:
    /// `map(gradient, activation)` for each goal, both `[C, h, w]`.
    ///
    /// # Errors
    /// None; it has the type of every way to make maps.
    pub fn of_gradients(
        &self,
        map: impl Fn(ArrayView3<'_, f32>, ArrayView3<'_, f32>) -> Array2<f32>,
    ) -> Result<Vec<Array2<f32>>> {
        Ok(self.gradients.iter().map(|gradient| map(gradient.view(), self.activation)).collect())
    }

    /// The maps `Σ_k w_k A_k` of a method whose weights, `[C]`, a gradient and the activation
    /// decide.
    ///
    /// # Errors
    /// None, as above.
    pub fn of_weights(
        &self,
        weights: impl Fn(ArrayView3<'_, f32>, ArrayView3<'_, f32>) -> Array1<f32>,
    ) -> Result<Vec<Array2<f32>>> {
        self.of_gradients(|gradient, activation| {
            weighted_sum(weights(gradient, activation).view(), activation)
        })
    }

    /// One map for all goals, of a method that looks at no class.
    ///
    /// # Errors
    /// None, as above.
    pub fn of_activation(&self, map: Array2<f32>) -> Result<Vec<Array2<f32>>> {
        Ok(vec![map; self.goals.len()])
    }

    /// (height, width) of the model's input.
    #[must_use]
    pub fn input_size(&self) -> (usize, usize) {
        let preprocess = self.model.preprocess();
        (preprocess.height as usize, preprocess.width as usize)
    }

    /// The model's answers to the image seen through `count` masks; `mask(k, out)` writes mask k,
    /// `[H, W]`. `set` says what the masks depend on besides image, layer and method.
    ///
    /// `so_far(done, answers)` is the first goal's map as if the first passes were all, for whoever
    /// watches, or that of the goal that the method has turned to.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn masked(
        &self,
        set: &str,
        count: usize,
        mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        so_far: impl Fn(usize, &PassScores) -> Array2<f32>,
    ) -> Result<PassScores> {
        self.masked_until(set, count, mask, so_far, |_, _| false)
    }

    /// As [`MethodContext::masked`], but no further than `is_enough(done, answers)`; the answers end there.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn masked_until(
        &self,
        set: &str,
        count: usize,
        mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        so_far: impl Fn(usize, &PassScores) -> Array2<f32>,
        is_enough: impl Fn(usize, &PassScores) -> bool,
    ) -> Result<PassScores> {
        self.seen(None, set, count, mask, so_far, is_enough)
    }

    /// As [`MethodContext::masked`], with another image in place of zeros where a mask is 0.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn masked_before(
        &self,
        backdrop: &Array4<f32>,
        set: &str,
        count: usize,
        mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        so_far: impl Fn(usize, &PassScores) -> Array2<f32>,
    ) -> Result<PassScores> {
        self.seen(Some(backdrop), set, count, mask, so_far, |_, _| false)
    }

    fn seen(
        &self,
        backdrop: Option<&Array4<f32>>,
        set: &str,
        count: usize,
        mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        so_far: impl Fn(usize, &PassScores) -> Array2<f32>,
        is_enough: impl Fn(usize, &PassScores) -> bool,
    ) -> Result<PassScores> {
        let tell = self.progress(count, |passes, done| passes.masked += done, so_far);
        let progress = |done: usize, answers: &PassScores| {
            tell(done, answers)?;
            Ok(if is_enough(done, answers) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        let set = format!("{} {} {set}", self.layer.tensor, self.method);
        let scene = MaskedInput { image: self.input, backdrop };
        let answers = masked_passes(self.model, scene, &set, count, mask, self.cancel, &progress)?;
        self.count(|passes| {
            passes.masked += answers.ran;
            passes.skipped += answers.scores.nrows() - answers.ran;
        });
        Ok(answers)
    }

    /// The scores for `count` changed activations; `change(k, out)` writes activation k, `[C, h,
    /// w]`.
    ///
    /// `so_far` as in [`MethodContext::masked`].
    ///
    /// # Errors
    /// Those of the engine.
    pub fn tail(
        &self,
        count: usize,
        change: impl FnMut(usize, ArrayViewMut3<'_, f32>),
        so_far: impl Fn(usize, &PassScores) -> Array2<f32>,
    ) -> Result<PassScores> {
        let behind = TailRunner::new(self.model, self.layer, self.side_inputs)?;
        let progress = self.progress(count, |passes, done| passes.tail += done, so_far);
        let answers = behind.passes(count, change, self.cancel, &progress)?;
        self.count(|passes| passes.tail += count);
        Ok(answers)
    }

    /// The model's input, `[1, C, H, W]` or `[1, H, W, C]`.
    #[must_use]
    pub const fn input(&self) -> &Array4<f32> {
        self.input
    }

    /// Which of the input's axes are what.
    #[must_use]
    pub fn input_layout(&self) -> Layout {
        self.model.preprocess().layout
    }

    /// Each goal's gradient at the layer, and the layer's activation, `[C, h, w]` all, for another
    /// input.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn gradients_at(&self, input: Array4<f32>) -> Result<(Vec<Array3<f32>>, Array3<f32>)> {
        let pass = PassRequest {
            targets: self.goals.iter().map(|goal| goal.target).collect(),
            contrast: self.goals[0].contrast,
            gradient_of: self.score.gradient_of(),
            activation: true,
            ..PassRequest::of(input)
        };
        let outcome = self.model.run(self.layer, pass, self.cancel)?;
        self.count(
            |passes| if outcome.from_cache { passes.skipped += 1 } else { passes.masked += 1 },
        );
        let activation = first(outcome.activation.as_ref(), "activation")?.to_owned();
        let gradients = gradients(&outcome, self.goals)?.into_iter().map(CowArray::into_owned);
        Ok((gradients.collect(), activation))
    }

    /// Turns to a goal, in a method that takes them one by one: what is shown from now on is of it.
    pub fn turn_to(&self, goal: usize) {
        self.shown.set(goal);
    }

    /// The goal that unfinished maps are of.
    fn shown(&self) -> &ClassTarget {
        &self.goals[self.shown.get()]
    }

    /// Tells whoever watches that `done` of the passes are done, and shows them `map()` if they
    /// look.
    pub fn tell(&self, done: usize, of: usize, map: impl FnOnce() -> Array2<f32>) {
        self.watch.progress(self.method, done, of);
        if done > 0 && done < of && self.watch.wants_partial() {
            let unfinished = (self.finish)(map(), self.shown(), self.passes.get());
            self.watch.partial(&unfinished, done, of);
        }
    }

    /// Tells whoever watches how far it is, and shows them the map so far.
    fn progress<'b>(
        &'b self,
        count: usize,
        counted: impl Fn(&mut Passes, usize) + 'b,
        so_far: impl Fn(usize, &PassScores) -> Array2<f32> + 'b,
    ) -> impl Fn(usize, &PassScores) -> Result<()> + 'b {
        let before = self.passes.get();
        self.watch.progress(self.method, 0, count);
        move |done, answers| {
            self.watch.progress(self.method, done, count);
            if done < count && self.watch.wants_partial() {
                let mut passes = before;
                counted(&mut passes, done);
                let map = so_far(done, answers);
                self.watch.partial(&(self.finish)(map, self.shown(), passes), done, count);
            }
            Ok(())
        }
    }

    /// The part of the answers that goals are differences of, `[K, classes]`.
    #[must_use]
    pub fn scores<'b>(&self, answers: &'b PassScores) -> ArrayView2<'b, f32> {
        match self.score {
            ScoreKind::Logit => answers.scores.view(),
            ScoreKind::Probability => answers.probabilities.view(),
        }
    }

    /// Notes passes that could not change the map and were left out.
    pub fn skip(&self, count: usize) {
        self.count(|passes| passes.skipped += count);
    }

    /// Notes how far to trust the next goal's map, which is an estimate.
    pub fn trust(&self, confidence: Confidence) {
        self.confidences.borrow_mut().push(confidence);
    }

    fn count(&self, change: impl FnOnce(&mut Passes)) {
        let mut passes = self.passes.get();
        change(&mut passes);
        self.passes.set(passes);
    }
}

/// The first image's gradient for each goal, `[C, h, w]`, in their order.
///
/// # Errors
/// A fault, where the pass was asked for none.
pub(crate) fn gradients<'o>(
    outcome: &'o PassOutput,
    goals: &[ClassTarget],
) -> Result<Vec<CowArray<'o, f32, Ix3>>> {
    let of_goal = |(index, goal): (usize, &ClassTarget)| {
        let gradient = first(outcome.gradients.get(index), "gradient")?;
        Ok(if goal.negate { CowArray::from(-&gradient) } else { CowArray::from(gradient) })
    };
    goals.iter().enumerate().map(of_goal).collect()
}

/// The first image's part of a pass's array.
pub(crate) fn first<'a>(
    array: Option<&'a Array4<f32>>,
    what: &'static str,
) -> Result<ArrayView3<'a, f32>> {
    let array =
        array.ok_or_else(|| Error::internal("explaining", format!("the pass gave no {what}")))?;
    Ok(array.index_axis(Axis(0), 0))
}
