//! The typed parameters of a method: convention, score, normalisation, and the values that only
//! some methods read.

use std::fmt;

use super::choice::Choice;
use crate::graph::program_io::GradientOf;

/// The source whose arithmetic is followed where sources disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Convention {
    /// The papers, as implemented in their authors' code.
    #[default]
    Paper,
    /// The Keras article.
    Article,
    /// The library pytorch-grad-cam 1.5.
    PytorchGradCam,
    /// The library openvino-xai 1.1.
    OpenvinoXai,
    /// The library torch-cam 0.5.
    TorchCam,
}

impl Choice for Convention {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("paper", Self::Paper),
        ("article", Self::Article),
        ("pytorch-grad-cam", Self::PytorchGradCam),
        ("openvino-xai", Self::OpenvinoXai),
        ("torch-cam", Self::TorchCam),
    ];
}

impl Convention {
    /// The ε that the source adds to the range of a map in min–max normalisation.
    #[must_use]
    pub const fn epsilon(self) -> f32 {
        match self {
            Self::Paper | Self::Article => 0.0,
            Self::PytorchGradCam => 1e-7,
            Self::OpenvinoXai => 1e-12,
            Self::TorchCam => 1e-8,
        }
    }

    /// Whether the source repeats its min–max normalisation after a map is resized.
    #[must_use]
    pub const fn normalizes_resized(self) -> bool {
        matches!(self, Self::PytorchGradCam)
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The score that is differentiated, or that weights a masked pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// Before the softmax or sigmoid.
    Logit,
    /// After it.
    Probability,
}

impl ScoreKind {
    /// The gradient of this score.
    #[must_use]
    pub const fn gradient_of(self) -> GradientOf {
        match self {
            Self::Logit => GradientOf::Logit,
            Self::Probability => GradientOf::Probability,
        }
    }
}

impl Choice for ScoreKind {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("logit", Self::Logit), ("probability", Self::Probability)];
}

/// How a finished map is scaled to 0..1, or to −1..1 if it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// Divide by the maximum; a signed map by its largest absolute value.
    Max,
    /// Subtract the minimum, then divide by the new maximum.
    MinMax,
    /// Leave the values as they are.
    None,
}

impl Choice for Normalization {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("max", Self::Max), ("minmax", Self::MinMax), ("none", Self::None)];
}

/// The parameters that methods read. `None` means the convention's default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MethodParameters {
    /// Whose arithmetic is followed.
    pub convention: Convention,
    /// Score-CAM: use only this many channels, those with the largest standard deviation.
    pub max_channels: Option<usize>,
    /// Score-CAM: run only this many passes and estimate the remaining weights.
    pub budget: Option<usize>,
    /// Score-CAM: stop once the map's estimated correlation with the full map is at least
    /// `1 − tolerance`.
    pub tolerance: Option<f32>,
    /// The seed of the methods that use random numbers.
    pub seed: u64,
    /// Smooth Grad-CAM++: the number of noisy inputs.
    pub samples: Option<usize>,
    /// Smooth Grad-CAM++: the standard deviation of the noise, in the convention's unit.
    pub noise: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_convention_is_found_by_its_name() {
        for &(name, convention) in Convention::CHOICES {
            assert_eq!(Convention::from_name(name), Some(convention));
            assert_eq!(convention.to_string(), name);
        }
        assert_eq!(Convention::from_name("keras"), None);
    }
}
