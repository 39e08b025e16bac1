//! The values of one request's options, each `None` until it is set.

use super::output::{Output, Size};
use crate::explain::Convention;
use crate::explain::Method;
use crate::explain::Normalization;
use crate::explain::ScoreKind;
use crate::picture::colormap::Colormap;
use crate::picture::encode::Format;
use crate::picture::overlay::Blend;

/// One slot per option, named after it. The [table](super::table) describes them.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the table of options documents each slot")]
pub struct OptionValues {
    pub model: Option<String>,
    pub method: Option<Method>,
    pub methods: Option<Vec<Method>>,
    pub layer: Option<String>,
    pub target: Option<String>,
    pub contrast: Option<String>,
    pub negate: Option<bool>,
    pub signed: Option<bool>,
    pub score: Option<ScoreKind>,
    pub convention: Option<Convention>,
    pub max_channels: Option<usize>,
    pub budget: Option<usize>,
    pub tolerance: Option<f32>,
    pub seed: Option<u64>,
    pub samples: Option<usize>,
    pub noise: Option<f32>,
    pub normalize: Option<Normalization>,
    pub output: Option<Output>,
    pub format: Option<Format>,
    pub dpi: Option<u16>,
    pub columns: Option<usize>,
    pub size: Option<Size>,
    pub colormap: Option<Colormap>,
    pub blend: Option<Blend>,
    pub weight: Option<f32>,
    pub emphasize: Option<bool>,
    pub top_k: Option<usize>,
}

impl OptionValues {
    /// Whether the options set so far request a signed map.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed.unwrap_or(false)
    }
}
