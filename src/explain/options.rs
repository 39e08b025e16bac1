//! What a request can ask of an explanation: the names that clients use, typed.

use std::fmt;

use super::methods::{self, METHODS, MethodSpec};
use crate::graph::explain_graph::GradientOf;

/// Parses an option's value, or says what would be right.
pub trait Choice: Copy + 'static {
    /// What the option is called.
    const OPTION: &'static str;
    /// Every value with its name; the first is the default.
    const CHOICES: &'static [(&'static str, Self)];

    /// The value of this name.
    ///
    /// # Errors
    /// The sentence that names the option and the values that it takes.
    fn parse(name: &str) -> Result<Self, String> {
        let find =
            |(known, value): &(&str, Self)| known.eq_ignore_ascii_case(name).then_some(*value);
        Self::CHOICES.iter().find_map(find).ok_or_else(|| {
            let names: Vec<_> = Self::CHOICES.iter().map(|(name, _)| *name).collect();
            format!("option '{}' can't be '{name}'; it takes {}", Self::OPTION, names.join(", "))
        })
    }

    /// The name that answers use.
    fn name(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::CHOICES.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }
}

/// How the map is computed. What each needs and does is in its row of
/// [`METHODS`](super::methods::METHODS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Grad-CAM++, arXiv 1710.11063.
    GradCamPlusPlus,
    /// Grad-CAM, arXiv 1610.02391.
    GradCam,
    /// Score-CAM, arXiv 1910.01279.
    ScoreCam,
    /// LayerCAM, IEEE TIP 2021.
    LayerCam,
    /// HiResCAM, arXiv 2011.08891.
    HiResCam,
    /// XGrad-CAM, arXiv 2008.02312.
    XGradCam,
    /// Element-wise Grad-CAM, of pytorch-grad-cam.
    GradCamElementWise,
    /// Eigen-CAM, arXiv 2008.00299.
    EigenCam,
    /// Eigen-Grad-CAM, of pytorch-grad-cam.
    EigenGradCam,
    /// Channels weighted by chance: what any method must be better than.
    Random,
    /// Ablation-CAM, WACV 2020.
    AblationCam,
    /// Recipro-CAM, arXiv 2209.14074.
    ReciproCam,
    /// Smooth Grad-CAM++, arXiv 1908.01224.
    SmoothGradCamPlusPlus,
    /// Group-CAM, arXiv 2103.13859.
    GroupCam,
}

impl Choice for Method {
    const OPTION: &'static str = "method";
    const CHOICES: &'static [(&'static str, Self)] = &methods::CHOICES;

    /// Takes the spellings in use too: `gradcampp`, `Grad-CAM++`, `score_cam`.
    fn parse(name: &str) -> Result<Self, String> {
        let plain = |name: &str| -> String {
            // A `+` in a query string that was not escaped arrives as a space, and is gone by now.
            name.chars()
                .filter(|c| !matches!(c, '-' | '_' | ' '))
                .collect::<String>()
                .to_ascii_lowercase()
        };
        let asked = plain(name);
        let known =
            |row: &&&MethodSpec| plain(row.name) == asked || row.also.contains(&asked.as_str());
        METHODS.iter().find(known).map(|row| row.method).ok_or_else(|| {
            let names: Vec<_> = Self::CHOICES.iter().map(|(name, _)| *name).collect();
            format!("option 'method' can't be '{name}'; it takes {}", names.join(", "))
        })
    }
}

/// Whose arithmetic is followed where sources disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Convention {
    /// The papers, as their authors' code has them.
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
    const OPTION: &'static str = "convention";
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("paper", Self::Paper),
        ("article", Self::Article),
        ("pytorch-grad-cam", Self::PytorchGradCam),
        ("openvino-xai", Self::OpenvinoXai),
        ("torch-cam", Self::TorchCam),
    ];
}

impl Convention {
    /// What the source adds to the range of a map that it stretches between minimum and maximum.
    #[must_use]
    pub const fn epsilon(self) -> f32 {
        match self {
            Self::Paper | Self::Article => 0.0,
            Self::PytorchGradCam => 1e-7,
            Self::OpenvinoXai => 1e-12,
            Self::TorchCam => 1e-8,
        }
    }
}

/// The score that is differentiated, or that weighs a masked pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// Before the softmax.
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
    const OPTION: &'static str = "score";
    const CHOICES: &'static [(&'static str, Self)] =
        &[("logit", Self::Logit), ("probability", Self::Probability)];
}

/// How the finished map is brought to 0..1, or to −1..1 where it keeps its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Normalize {
    /// Divided by its maximum; with signs by its largest absolute value.
    Max,
    /// Shifted by its minimum, divided by what is then its maximum.
    MinMax,
    /// Left as it is.
    None,
}

impl Choice for Normalize {
    const OPTION: &'static str = "normalize";
    const CHOICES: &'static [(&'static str, Self)] =
        &[("max", Self::Max), ("minmax", Self::MinMax), ("none", Self::None)];
}

/// What is to be explained, and how. `None` leaves the choice to the convention or the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How the map is computed.
    pub method: Method,
    /// Whose arithmetic is followed.
    pub convention: Convention,
    /// The layers, by any of their names, with commas between them; else the model's default.
    pub layer: Option<String>,
    /// The classes, by index or exact label, with commas between them; else the predicted one.
    pub target: Option<String>,
    /// The class that it is explained against, by index or exact label.
    pub contrast: Option<String>,
    /// Whether what speaks against it is looked for.
    pub negate: bool,
    /// Whether what is below 0 stays, so that the map shows what speaks for the class and what
    /// against it.
    pub signed: bool,
    /// The score; else the convention's.
    pub score: Option<ScoreKind>,
    /// Score-CAM: only this many channels, those with the largest standard deviation.
    pub max_channels: Option<usize>,
    /// Score-CAM: only this many passes, and the other weights estimated from them.
    pub budget: Option<usize>,
    /// Score-CAM: only as many passes as bring the map so near to that of all, as 1 − correlation.
    pub tolerance: Option<f32>,
    /// What chance starts from, in methods that use it.
    pub seed: u64,
    /// Smooth Grad-CAM++: how many noisy inputs; else the convention's number.
    pub samples: Option<usize>,
    /// Smooth Grad-CAM++: the noise's deviation, in the convention's unit; else its number.
    pub noise: Option<f32>,
    /// The final normalisation; else the convention's.
    pub normalize: Option<Normalize>,
    /// How many predictions to report.
    pub top_k: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::GradCamPlusPlus,
            convention: Convention::Paper,
            layer: None,
            target: None,
            contrast: None,
            negate: false,
            signed: false,
            score: None,
            max_channels: None,
            budget: None,
            tolerance: None,
            seed: 0,
            samples: None,
            noise: None,
            normalize: None,
            top_k: 5,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_all_their_spellings() {
        for name in ["gradcam++", "gradcampp", "Grad-CAM++", "GradCAMPlusPlus", "grad_cam_pp"] {
            assert_eq!(Method::parse(name), Ok(Method::GradCamPlusPlus), "{name}");
        }
        assert_eq!(Method::parse("Score-CAM"), Ok(Method::ScoreCam));
    }

    #[test]
    fn a_wrong_value_is_answered_with_the_right_ones() {
        assert_eq!(
            Convention::parse("keras").unwrap_err(),
            "option 'convention' can't be 'keras'; it takes paper, article, pytorch-grad-cam, openvino-xai, torch-cam"
        );
    }

    #[test]
    fn every_name_leads_back_to_its_value() {
        for &(name, method) in Method::CHOICES {
            assert_eq!(Method::parse(name), Ok(method));
            assert_eq!(method.name(), name);
        }
    }
}
