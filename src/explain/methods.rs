//! The table of methods: one row each, made by the file that is named after the method.
//!
//! A row says what the method is called, whose arithmetic of it there is, what it
//! needs of the model, and how it makes its maps. Everything else reads the table:
//! the parser of options, the list in `GET /v1/models/{id}`, the figure's titles. To
//! add a method, write its file with a `ROW`, and name both here.

use ndarray::Array2;

use super::options::{Convention, Method, Normalize, ScoreKind};
use super::stage::MethodContext;
use super::{
    ablationcam, eigencam, eigengradcam, gradcam, gradcam_elementwise, gradcam_plus_plus, groupcam,
    hirescam, layercam, random, reciprocam, scorecam, smoothgradcam_plus_plus, xgradcam,
};
use crate::error::Result;

/// Every method, in the order of [`Method`].
pub const METHODS: [&MethodSpec; 14] = [
    &gradcam_plus_plus::ROW,
    &gradcam::ROW,
    &scorecam::ROW,
    &layercam::ROW,
    &hirescam::ROW,
    &xgradcam::ROW,
    &gradcam_elementwise::ROW,
    &eigencam::ROW,
    &eigengradcam::ROW,
    &random::ROW,
    &ablationcam::ROW,
    &reciprocam::ROW,
    &smoothgradcam_plus_plus::ROW,
    &groupcam::ROW,
];

/// What there is to know of a method.
#[derive(Debug)]
pub struct MethodSpec {
    /// Its value.
    pub method: Method,
    /// The name that requests and answers use.
    pub name: &'static str,
    /// Other spellings, in small letters without hyphens.
    pub also: &'static [&'static str],
    /// The name as papers write it.
    pub title: &'static str,
    /// What it needs of the model besides the activation.
    pub needs: Needs,
    /// Whose arithmetic there is; for every one `Paper` stands first.
    pub conventions: &'static [Convention],
    /// The score that the paper explains.
    pub paper_score: ScoreKind,
    /// How the paper brings the finished map to 0..1.
    pub paper_normalize: Normalize,
    /// Whether the map depends on the class at all.
    pub class_discriminative: bool,
    /// Whether passes are weighed by the score itself, and not by what it gains or loses.
    pub weighs_by_score: bool,
    /// Whether what is below 0 is cut off before a map is stretched between its extremes.
    pub cuts: bool,
    /// Whether what falls below 0 before it is cut there speaks against the class.
    pub supports_signed: bool,
    /// The options that mean something to this method and not to all.
    pub options: &'static [&'static str],
    /// Makes the maps `[h, w]`, one for each of the stage's goals, before anything below 0 is cut
    /// off.
    pub maps: fn(&MethodContext<'_>) -> Result<Vec<Array2<f32>>>,
}

/// What a method needs of the model besides the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The goal's gradient at the layer.
    Gradient,
    /// Passes of changed inputs.
    Masked,
    /// Passes of changed activations through what stands behind the layer.
    Tail,
}

impl Needs {
    /// True for methods that need the backward pass.
    #[must_use]
    pub const fn gradient(self) -> bool {
        matches!(self, Self::Gradient)
    }

    /// True for methods that run what stands behind the layer by itself.
    #[must_use]
    pub const fn tail(self) -> bool {
        matches!(self, Self::Tail)
    }
}

impl MethodSpec {
    /// A method of the class's gradient with nothing particular about it; rows change what differs.
    pub(super) const GRADIENT: Self = Self {
        method: Method::GradCam,
        name: "",
        also: &[],
        title: "",
        needs: Needs::Gradient,
        conventions: &[Convention::Paper, Convention::PytorchGradCam],
        paper_score: ScoreKind::Logit,
        paper_normalize: Normalize::Max,
        class_discriminative: true,
        weighs_by_score: false,
        cuts: true,
        supports_signed: false,
        options: &[],
        maps: |_| Ok(Vec::new()),
    };

    /// The score that a source differentiates, or weighs passes by.
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

    /// The normalisation that a source ends with.
    #[must_use]
    pub const fn normalize(&self, convention: Convention) -> Normalize {
        match convention {
            Convention::Paper => self.paper_normalize,
            Convention::Article => Normalize::Max,
            Convention::PytorchGradCam | Convention::OpenvinoXai | Convention::TorchCam => {
                Normalize::MinMax
            }
        }
    }
}

impl Method {
    /// The methods that the article compares, in its order.
    pub const ARTICLE: [Self; 3] = [Self::GradCam, Self::GradCamPlusPlus, Self::ScoreCam];

    /// Its row of the table.
    #[must_use]
    pub const fn row(self) -> &'static MethodSpec {
        METHODS[self as usize]
    }

    /// The name as papers write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }
}

/// The table is indexed by the method: its order must be the enum's.
const _: () = {
    let mut index = 0;
    while index < METHODS.len() {
        assert!(METHODS[index].method as usize == index);
        index += 1;
    }
};

/// Names with their values, for the parser.
pub(super) const CHOICES: [(&str, Method); METHODS.len()] = {
    let mut choices = [("", Method::GradCam); METHODS.len()];
    let mut index = 0;
    while index < METHODS.len() {
        choices[index] = (METHODS[index].name, METHODS[index].method);
        index += 1;
    }
    choices
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole() {
        for row in METHODS {
            assert!(!row.name.is_empty() && !row.title.is_empty(), "{row:?}");
            assert_eq!(row.conventions[0], Convention::Paper, "{}", row.name);
        }
    }
}
