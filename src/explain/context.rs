//! What a method receives: the arrays of the forward pass, and ways to run more passes.
//!
//! A [`MethodContext`] is one method on one layer of one image. It is immutable: a method counts
//! its passes in the `&mut Passes` that it is given, and returns everything else with its maps.
//! Gradients are computed in advance for methods that declare that they need them. Masked, tail and
//! noisy passes run through the context, which passes the cancellation token along.

use ndarray::{
    Array1, Array2, Array3, Array4, ArrayD, ArrayView2, ArrayView3, ArrayViewMut3, Axis, CowArray,
    Ix3,
};

use super::mask_set::MaskSet;
use super::math::channels::weighted_sum;
use super::method::Method;
use super::parameters::{MethodParameters, ScoreKind};
use super::progress::{PassReporter, Preview, ProgressObserver};
use super::result::TargetMap;
use super::target::ClassTarget;
use crate::engine::{
    CancellationToken, MaskedPasses, Model, PassOutput, PassRequest, PassScores, TailRunner,
};
use crate::error::{Error, Result};
use crate::graph::layers::Layer;
use crate::model::manifest::Layout;

/// One method on one layer of one image.
pub struct MethodContext<'a> {
    /// The layer's activation, `[C, h, w]`.
    pub activation: ArrayView3<'a, f32>,
    /// One gradient at the layer per target, `[C, h, w]`; empty for a method that needs none.
    pub gradients: Vec<CowArray<'a, f32, Ix3>>,
    /// What is explained; at least one.
    pub targets: &'a [ClassTarget],
    /// The score that the targets are differences of.
    pub score: ScoreKind,
    /// The method's parameters.
    pub parameters: MethodParameters,
    /// The method, for progress reports.
    pub method: Method,
    /// The model.
    pub model: &'a Model,
    /// The layer that is explained.
    pub layer: &'a Layer,
    /// The tensors, besides the activation, that the part of the model after the layer reads.
    pub side_inputs: &'a [ArrayD<f32>],
    /// The model's input, `[1, C, H, W]` or `[1, H, W, C]`.
    pub input: &'a Array4<f32>,
    /// Stops the passes.
    pub cancellation: &'a CancellationToken,
    /// Receives progress and previews.
    pub observer: &'a dyn ProgressObserver,
    /// Turns an unfinished map into the explanation that previews show.
    pub preview: Preview<'a>,
}

/// Gradients and activation of a changed input.
pub struct GradientPass {
    /// One gradient at the layer per target, `[C, h, w]`.
    pub gradients: Vec<Array3<f32>>,
    /// The layer's activation, `[C, h, w]`.
    pub activation: Array3<f32>,
    /// Whether the pass was cached.
    pub from_cache: bool,
}

impl MethodContext<'_> {
    /// One map per target from `map(gradient, activation)`, both `[C, h, w]`.
    ///
    /// # Errors
    /// None; the type is the one that every method returns.
    pub fn gradient_maps(
        &self,
        map: impl Fn(ArrayView3<'_, f32>, ArrayView3<'_, f32>) -> Array2<f32>,
    ) -> Result<Vec<TargetMap>> {
        let map = |gradient: &CowArray<'_, f32, Ix3>| map(gradient.view(), self.activation).into();
        Ok(self.gradients.iter().map(map).collect())
    }

    /// One map `Σ_k w_k A_k` per target, with weights `[C]` from `weights(gradient, activation)`,
    /// both `[C, h, w]`.
    ///
    /// # Errors
    /// None, as for [`MethodContext::gradient_maps`].
    pub fn weighted_maps(
        &self,
        weights: impl Fn(ArrayView3<'_, f32>, ArrayView3<'_, f32>) -> Array1<f32>,
    ) -> Result<Vec<TargetMap>> {
        self.gradient_maps(|gradient, activation| {
            weighted_sum(weights(gradient, activation).view(), activation)
        })
    }

    /// The same map for every target, from a method that is not class-discriminative.
    ///
    /// # Errors
    /// None, as for [`MethodContext::gradient_maps`].
    pub fn shared_map(&self, map: Array2<f32>) -> Result<Vec<TargetMap>> {
        Ok(vec![map.into(); self.targets.len()])
    }

    /// (height, width) of the model's input.
    #[must_use]
    pub fn input_size(&self) -> (usize, usize) {
        let preprocess = self.model.preprocess();
        (preprocess.height as usize, preprocess.width as usize)
    }

    /// The order of the input's axes.
    #[must_use]
    pub fn input_layout(&self) -> Layout {
        self.model.preprocess().layout
    }

    /// Masked passes of the input.
    ///
    /// `mask_set` identifies the masks for the cache.
    #[must_use]
    pub fn masked_passes(&self, mask_set: MaskSet) -> MaskedPasses<'_> {
        MaskedPasses::new(self.model, self.input, self.cancellation)
            .mask_set(&(&self.layer.tensor, mask_set))
    }

    /// The scores of `count` changed activations; `change(k, out)` writes activation k,
    /// `[C, h, w]`. `progress(done, scores)` is called after each batch; rows of passes to come
    /// are zeros.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn tail_passes(
        &self,
        count: usize,
        change: impl FnMut(usize, ArrayViewMut3<'_, f32>),
        progress: impl Fn(usize, &PassScores),
    ) -> Result<PassScores> {
        let tail = TailRunner::new(self.model, self.layer, self.side_inputs)?;
        tail.passes(count, change, self.cancellation, &|done, scores| {
            progress(done, scores);
            Ok(())
        })
    }

    /// Every target's gradient at the layer for another input, `[1, …]`, and the layer's
    /// activation.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn gradient_pass(&self, input: Array4<f32>) -> Result<GradientPass> {
        let pass = PassRequest {
            targets: self.targets.iter().map(|target| target.class).collect(),
            contrast: self.targets[0].contrast,
            gradient_of: self.score.gradient_of(),
            activation: true,
            ..PassRequest::new(input)
        };
        let output = self.model.run(self.layer, pass, self.cancellation)?;
        let activation = first_image(output.activation.as_ref(), "activation")?.to_owned();
        let gradients = gradients(&output, self.targets)?;
        Ok(GradientPass {
            gradients: gradients.into_iter().map(CowArray::into_owned).collect(),
            activation,
            from_cache: output.from_cache,
        })
    }

    /// Announces `total` passes to the observer. Previews show the map of `target`.
    #[must_use]
    pub fn reporter<'s>(&'s self, target: &'s ClassTarget, total: usize) -> PassReporter<'s> {
        let Self { observer, method, preview, .. } = *self;
        observer.progress(method, 0, total);
        PassReporter { observer, method, preview, target, total }
    }

    /// The part of the scores that the targets are differences of, `[K, classes]`.
    #[must_use]
    pub fn scores<'s>(&self, scores: &'s PassScores) -> ArrayView2<'s, f32> {
        match self.score {
            ScoreKind::Logit => scores.scores.view(),
            ScoreKind::Probability => scores.probabilities.view(),
        }
    }
}

/// The first image's gradient for each target, `[C, h, w]`.
///
/// # Errors
/// An internal error if the pass computed no gradient.
pub fn gradients<'o>(
    output: &'o PassOutput,
    targets: &[ClassTarget],
) -> Result<Vec<CowArray<'o, f32, Ix3>>> {
    let gradient = |(index, target): (usize, &ClassTarget)| {
        let gradient = first_image(output.gradients.get(index), "gradient")?;
        Ok(if target.negate { CowArray::from(-&gradient) } else { CowArray::from(gradient) })
    };
    targets.iter().enumerate().map(gradient).collect()
}

/// The first image's part, `[C, h, w]`, of a pass's array `[N, C, h, w]`.
///
/// # Errors
/// An internal error if the pass did not compute the array.
pub fn first_image<'a>(
    array: Option<&'a Array4<f32>>,
    what: &'static str,
) -> Result<ArrayView3<'a, f32>> {
    let missing = || Error::internal("explaining", format!("the pass returned no {what}"));
    Ok(array.ok_or_else(missing)?.index_axis(Axis(0), 0))
}
