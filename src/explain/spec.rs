//! What a method declares about itself: [`MethodSpec`].

use super::context::MethodContext;
use super::method::Method;
use super::normalise::Normalizer;
use super::parameters::{Convention, MethodParameters, Normalization, ScoreKind};
use super::result::{Passes, TargetMap};
use crate::error::Result;

/// Everything the rest of the crate knows about a method.
#[derive(Debug)]
pub struct MethodSpec {
    /// The method's identifier.
    pub method: Method,
    /// The name that requests and responses use.
    pub name: &'static str,
    /// Other spellings, in lower case without hyphens.
    pub aliases: &'static [&'static str],
    /// The name as papers write it.
    pub title: &'static str,
    /// What the method needs from the model besides the activation.
    pub needs: Needs,
    /// The conventions that define the method; `Paper` is always the first.
    pub conventions: &'static [Convention],
    /// The score that the paper explains.
    pub paper_score: ScoreKind,
    /// How the paper normalises the finished map.
    pub paper_normalization: Normalization,
    /// Whether the map depends on the class.
    pub class_discriminative: bool,
    /// Whether passes are weighted by the score itself, not by a difference of scores.
    pub weights_are_scores: bool,
    /// Whether a ReLU is applied before min–max normalisation.
    pub relu: bool,
    /// Whether negative values of the map, before the ReLU, are evidence against the class.
    pub supports_signed: bool,
    /// Whether the map is `Σ_k g_k A_k` where the gradient `g_k` is the same at every position, so
    /// that all such methods agree on a layer behind a global average pooling.
    pub is_gradient_weighted_sum: bool,
    /// The parameters that this method reads but not all others do.
    pub parameters: &'static [&'static str],
    /// Counts the passes besides the image's own.
    pub passes: CountPasses,
    /// Computes the maps.
    pub maps: ComputeMaps,
}

/// Computes one map `[h, w]` per target of the context, in order, before any ReLU. Adds the
/// passes that it runs to the [`Passes`].
pub type ComputeMaps = fn(&MethodContext<'_>, &mut Passes) -> Result<Vec<TargetMap>>;

/// Counts the passes that a method runs at most besides that of the image itself, for a layer
/// `[C, h, w]` and a number of targets.
pub type CountPasses = fn(&MethodParameters, [usize; 3], usize) -> usize;

/// What a method needs from the model besides the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    ActivationOnly,
    /// The target's gradient at the layer.
    Gradient,
    /// Passes of masked inputs.
    Masked,
    /// Passes of changed activations through the part of the model after the layer.
    Tail,
}

impl Needs {
    /// True for methods that need the backward pass.
    #[must_use]
    pub const fn gradient(self) -> bool {
        matches!(self, Self::Gradient)
    }

    /// True for methods that run the part of the model after the layer on its own.
    #[must_use]
    pub const fn tail(self) -> bool {
        matches!(self, Self::Tail)
    }
}

impl MethodSpec {
    /// The defaults of a method that uses the class's gradient. A spec overrides what differs.
    pub(super) const GRADIENT: Self = Self {
        method: Method::GradCam,
        name: "",
        aliases: &[],
        title: "",
        needs: Needs::Gradient,
        conventions: &[Convention::Paper, Convention::PytorchGradCam],
        paper_score: ScoreKind::Logit,
        paper_normalization: Normalization::Max,
        class_discriminative: true,
        weights_are_scores: false,
        relu: true,
        supports_signed: false,
        is_gradient_weighted_sum: false,
        parameters: &[],
        passes: |_, _, _| 0,
        maps: |_, _| Ok(Vec::new()),
    };

    /// The score that a convention differentiates, or weights passes by.
    #[must_use]
    pub const fn score(&self, convention: Convention) -> ScoreKind {
        match convention {
            Convention::Paper => self.paper_score,
            Convention::Article => ScoreKind::Probability,
            Convention::PytorchGradCam | Convention::OpenvinoXai | Convention::TorchCam => {
                ScoreKind::Logit
            }
        }
    }

    /// How a finished map is normalised: as asked, else as the convention ends.
    #[must_use]
    pub fn normalizer(
        &self,
        convention: Convention,
        normalization: Option<Normalization>,
        signed: bool,
    ) -> Normalizer {
        Normalizer {
            normalization: normalization.unwrap_or(self.normalization(convention)),
            epsilon: convention.epsilon(),
            relu: self.relu,
            signed,
        }
    }

    /// The normalisation that a convention ends with.
    #[must_use]
    pub const fn normalization(&self, convention: Convention) -> Normalization {
        match convention {
            Convention::Paper => self.paper_normalization,
            Convention::Article => Normalization::Max,
            Convention::PytorchGradCam | Convention::OpenvinoXai | Convention::TorchCam => {
                Normalization::MinMax
            }
        }
    }
}
