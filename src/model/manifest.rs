//! `model.toml`: how a model wants its input and what its output means.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::graph::head::OutputKind;
use crate::graph::layers::Tokens;
use crate::picture::resize::Filter;

/// A model's manifest. Unknown keys are refused, so that a misspelt one is noticed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The ONNX file, relative to the folder.
    pub file: String,
    /// Its SHA-256 in hexadecimal; checked at load when it is there.
    pub sha256: Option<String>,
    /// The file of class names, relative to the folder.
    pub labels: Option<String>,
    /// The layer that is explained when a request names none.
    pub default_layer: Option<String>,
    /// Friendly names of nodes or tensors.
    #[serde(default)]
    pub layers: BTreeMap<String, String>,
    /// Where the places of the image stand among tokens; found from the graph when absent.
    pub tokens: Option<Tokens>,
    /// How an image becomes the input tensor.
    #[serde(default)]
    pub input: Input,
    /// What the output means.
    #[serde(default)]
    pub output: Output,
}

/// `[input]`: from pixels to the tensor.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Height and width in pixels; taken from the graph when absent there.
    pub size: Option<[u32; 2]>,
    /// The order of the axes; found from the graph when absent.
    pub layout: Option<Layout>,
    /// The colour channels and their order; found from the graph when absent: gray for one
    /// channel, else RGB.
    pub color: Option<Color>,
    /// The interpolation that resizes.
    pub resize: Filter,
    /// What happens to an image of other proportions.
    pub fit: Fit,
    /// With `crop`: the shorter side becomes `size / crop_ratio` before the centre is cut out.
    pub crop_ratio: f32,
    /// Every pixel 0..255 is multiplied by this first; 1/255 when absent, but 1 where the graph
    /// takes bytes.
    pub scale: Option<f32>,
    /// Then this is subtracted, one a channel, in the model's own channel order; when absent
    /// ImageNet's, and 0 for gray or bytes.
    pub mean: Option<Vec<f32>>,
    /// Then it is divided by this, one a channel; when absent ImageNet's, and 1 for gray or bytes.
    pub std: Option<Vec<f32>>,
}

impl Default for Input {
    /// What is usual: stretched, bilinear, and the numbers that
    /// [`Preprocess::new`](super::preprocess::Preprocess::new) knows.
    fn default() -> Self {
        Self {
            size: None,
            layout: None,
            color: None,
            resize: Filter::Bilinear,
            fit: Fit::Stretch,
            crop_ratio: 1.0,
            scale: None,
            mean: None,
            std: None,
        }
    }
}

/// The order of the axes of an input tensor.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, C, H, W]`, as torch has it.
    Nchw,
    /// `[N, H, W, C]`, as Keras has it.
    Nhwc,
}

/// The colour channels and their order.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red first.
    Rgb,
    /// Blue first, as Caffe's models and their descendants want it.
    Bgr,
    /// One channel: the luma of ITU-R BT.601.
    Gray,
}

impl Color {
    /// How many channels an input of this colour has.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// What happens to an image whose proportions are not the model's.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// It is stretched: the model sees all of it.
    #[default]
    Stretch,
    /// The shorter side is fitted and the centre cut out: the model does not see the rest.
    Crop,
}

/// `[output]`: where the scores are and what they mean.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Logits, probabilities, or found out.
    pub kind: OutputKind,
    /// The graph output to use, where a model has several; else the first.
    pub name: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Kind::Setup`] naming the file and the key that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(Kind::Setup, format!("{}: {error}", path.display())))?;
        Self::parse(&text)
            .map_err(|what| Error::new(Kind::Setup, format!("{}: {what}", path.display())))
    }

    /// Parses and checks the text of a manifest.
    ///
    /// # Errors
    /// The sentence that names the key that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest of a folder that has none.
    #[must_use]
    pub fn usual(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            sha256: None,
            labels: None,
            default_layer: None,
            layers: BTreeMap::new(),
            tokens: None,
            input: Input::default(),
            output: Output::default(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let input = &self.input;
        if input.size.is_some_and(|[height, width]| {
            height == 0 || width == 0 || height > 8192 || width > 8192
        }) {
            return Err("input.size must be [height, width], each from 1 to 8192".into());
        }
        let (mean, std) = (input.mean.iter().flatten(), input.std.iter().flatten());
        if std.clone().any(|value| *value == 0.0) || std.chain(mean).any(|value| !value.is_finite())
        {
            return Err("input.std must not be 0, and mean and std must be finite".into());
        }
        if !(input.crop_ratio > 0.0 && input.crop_ratio <= 1.0) {
            return Err("input.crop_ratio must lie above 0 and at most at 1".into());
        }
        if self.tokens.is_some_and(|tokens| tokens.grid.contains(&0)) {
            return Err("tokens.grid must be [rows, columns], each at least 1".into());
        }
        if input.scale.is_some_and(|scale| !scale.is_finite()) {
            return Err("input.scale must be finite".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_s_example_is_read() {
        let manifest = Manifest::parse(
            r#"
            file = "model.onnx"
            labels = "labels.txt"
            default_layer = "block5_conv3"
            [layers]
            block5_conv3 = "functional_1/block5_conv3_1/Relu:0"
            [input]
            size = [224, 224]
            color = "bgr"
            resize = "nearest"
            scale = 1.0
            mean = [103.939, 116.779, 123.68]
            std = [1.0, 1.0, 1.0]
            [output]
            kind = "probabilities"
            "#,
        )
        .unwrap();
        assert_eq!(manifest.input.size, Some([224, 224]));
        assert_eq!(manifest.input.color, Some(Color::Bgr));
        assert_eq!(manifest.input.fit, Fit::Stretch);
        assert_eq!(manifest.output.kind, OutputKind::Probabilities);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let error = Manifest::parse("file = \"m.onnx\"\n[input]\nsise = [1, 2]\n").unwrap_err();
        assert!(error.starts_with("line 3: unknown field `sise`"), "{error}");
    }

    #[test]
    fn tokens_are_read() {
        let read = |text: &str| Manifest::parse(&format!("file = \"m.onnx\"\n[tokens]\n{text}"));
        let tokens = read("grid = [14, 12]\nskip = 5").unwrap().tokens;
        assert_eq!(tokens, Some(Tokens { skip: 5, grid: [14, 12] }));
        assert_eq!(read("grid = [7, 7]").unwrap().tokens.unwrap().skip, 0);
        assert!(read("grid = [0, 7]").unwrap_err().starts_with("tokens.grid"));
    }

    #[test]
    fn a_zero_deviation_is_refused() {
        let error =
            Manifest::parse("file = \"m.onnx\"\n[input]\nstd = [1.0, 0.0, 1.0]\n").unwrap_err();
        assert!(error.starts_with("input.std"), "{error}");
    }
}
