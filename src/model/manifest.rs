//! `model.toml`: a model's preprocessing, the meaning of its output, and names for its layers.
//!
//! Every key is optional. What the manifest omits is derived from the graph when the
//! model is loaded; see [`Preprocess::new`](super::preprocess::Preprocess::new) for the input.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::graph::head::OutputKind;
use crate::graph::layers::{LayerDeclaration, Tokens};
use crate::picture::resize::Filter;

/// The largest height and width of an input, in pixels.
pub const MAX_INPUT_SIZE: u32 = 8192;

/// The longest title, description, domain or notice. The notice is part of every response.
const MAX_TEXT_CHARS: usize = 500;

/// A model's manifest. Unknown keys are errors, so that a misspelt one is noticed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name for people, such as `EfficientNet-Lite0`.
    pub title: Option<String>,
    /// A sentence or two on what the model is.
    pub description: Option<String>,
    /// The pictures that it is for, such as `photographs`.
    pub domain: Option<String>,
    /// What everybody who sees one of its results must know. Every response carries it as a
    /// warning.
    pub notice: Option<String>,
    /// The ONNX file, relative to the model's folder. Where the manifest names none, it is the only
    /// one in the folder; [`ModelFolder::read`](super::ModelFolder::read) fills it in.
    #[serde(default)]
    pub file: String,
    /// The file's SHA-256 in hexadecimal, checked when the model is loaded.
    pub sha256: Option<String>,
    /// Folders, relative to the model's, that external data may lie in besides the model's own.
    #[serde(default)]
    pub data_folders: Vec<String>,
    /// The file of class labels, relative to the model's folder; `labels.txt` when absent.
    pub labels: Option<String>,
    /// The layer that is explained by default; chosen from the graph when absent.
    pub default_layer: Option<String>,
    /// Aliases of layers: alias → node or tensor name, with the order of its axes where needed.
    #[serde(default)]
    pub layers: BTreeMap<String, LayerDeclaration>,
    /// The grid of image positions among the tokens of a transformer; traced through the graph when
    /// absent.
    pub tokens: Option<Tokens>,
    /// Preprocessing: from an image to the input tensor.
    #[serde(default)]
    pub input: Input,
    /// The output with the scores, and what it means.
    #[serde(default)]
    pub output: Output,
}

/// `[input]`: preprocessing, from an image to the input tensor.
///
/// In order: resize (and crop), reorder the channels, then `(pixel · scale − mean) / std`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Height and width in pixels; when absent the graph's, or 224 where the graph's is dynamic.
    pub size: Option<[u32; 2]>,
    /// The order of the tensor's axes; derived from the graph when absent.
    pub layout: Option<Layout>,
    /// The colour channels and their order; derived from the graph when absent: grayscale for one
    /// channel, otherwise RGB.
    pub color: Option<Color>,
    /// The resampling filter.
    pub resize: Filter,
    /// How an image with another aspect ratio is fitted to the input.
    pub fit: Fit,
    /// With `fit = "crop"`: the image is resized to `size / crop_ratio` before the centre is
    /// cropped. In (0, 1].
    pub crop_ratio: f32,
    /// Factor for pixel values 0..=255; when absent 1/255, or 1 where the graph takes uint8.
    pub scale: Option<f32>,
    /// Subtracted after scaling, one value per channel in the model's channel order; when absent
    /// ImageNet's mean, or 0 for grayscale and uint8.
    pub mean: Option<Vec<f32>>,
    /// Divisor after the subtraction, one value per channel; when absent ImageNet's standard
    /// deviation, or 1 for grayscale and uint8.
    pub std: Option<Vec<f32>>,
}

impl Default for Input {
    /// Bilinear resizing without a crop; everything else is left to
    /// [`Preprocess::new`](super::preprocess::Preprocess::new).
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

/// The order of the input tensor's axes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, C, H, W]`, as in PyTorch.
    Nchw,
    /// `[N, H, W, C]`, as in Keras.
    Nhwc,
}

/// The colour channels and their order.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red first.
    Rgb,
    /// Blue first, as in Caffe's models and their conversions.
    Bgr,
    /// One channel: luma as in ITU-R BT.601.
    Gray,
}

impl Color {
    /// The number of channels.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// How an image with another aspect ratio is fitted to the model's input.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Stretch it: the model sees the whole image, distorted.
    #[default]
    Stretch,
    /// Resize it to cover the input and crop the centre: the model does not see the margins.
    Crop,
}

/// `[output]`: the output with the scores, and what they mean.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Logits, probabilities or independent sigmoids; derived from the graph by default.
    pub kind: OutputKind,
    /// The name of the graph output to use; when absent, the one that looks like class scores.
    pub name: Option<String>,
}

impl Manifest {
    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the file's path and the key at fault.
    pub fn read(path: &Path) -> Result<Self> {
        let text = crate::text::read(path)?;
        Self::parse(&text).map_err(|reason| Error::new(Kind::Setup, reason).at_path(path))
    }

    /// Parses and validates the text of a manifest.
    ///
    /// # Errors
    /// A sentence that names the key at fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest of a folder that has none: everything is derived from the ONNX file.
    #[must_use]
    pub fn for_file(file: &str) -> Self {
        Self {
            title: None,
            description: None,
            domain: None,
            notice: None,
            file: file.to_owned(),
            sha256: None,
            data_folders: Vec::new(),
            labels: None,
            default_layer: None,
            layers: BTreeMap::new(),
            tokens: None,
            input: Input::default(),
            output: Output::default(),
        }
    }

    fn validate(&self) -> Result<(), String> {
        let texts = [
            ("title", &self.title),
            ("description", &self.description),
            ("domain", &self.domain),
            ("notice", &self.notice),
        ];
        for (key, text) in texts {
            if text.as_ref().is_some_and(|text| !is_line(text)) {
                return Err(format!("{key} must be one line of 1 to {MAX_TEXT_CHARS} characters"));
            }
        }
        let input = &self.input;
        if input.size.is_some_and(|[height, width]| {
            ![height, width].iter().all(|size| (1..=MAX_INPUT_SIZE).contains(size))
        }) {
            return Err(format!(
                "input.size must be [height, width], each from 1 to {MAX_INPUT_SIZE}"
            ));
        }
        let (mean, std) = (input.mean.iter().flatten(), input.std.iter().flatten());
        if std.clone().any(|value| *value == 0.0) || std.chain(mean).any(|value| !value.is_finite())
        {
            return Err("input.std must not be 0, and mean and std must be finite".into());
        }
        if !(input.crop_ratio > 0.0 && input.crop_ratio <= 1.0) {
            return Err("input.crop_ratio must be greater than 0 and at most 1".into());
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

fn is_line(text: &str) -> bool {
    let is_short = text.chars().count() <= MAX_TEXT_CHARS;
    is_short && !text.trim().is_empty() && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keras_manifest_is_parsed() {
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
    fn a_misspelt_key_is_an_error_with_its_line() {
        let error = Manifest::parse("file = \"m.onnx\"\n[input]\nsise = [1, 2]\n").unwrap_err();
        assert!(error.starts_with("line 3: unknown field `sise`"), "{error}");
    }

    #[test]
    fn texts_for_people_are_single_lines() {
        let parse = |text: &str| Manifest::parse(&format!("notice = {text}\n"));
        assert_eq!(parse("'For MRI only.'").unwrap().notice.as_deref(), Some("For MRI only."));
        let too_long = format!("'{}'", "a".repeat(MAX_TEXT_CHARS + 1));
        for wrong in ["''", "' '", "\"two\\nlines\"", too_long.as_str()] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error, "notice must be one line of 1 to 500 characters", "{wrong}");
        }
    }

    #[test]
    fn tokens_are_parsed_and_validated() {
        let parse = |text: &str| Manifest::parse(&format!("file = \"m.onnx\"\n[tokens]\n{text}"));
        let tokens = parse("grid = [14, 12]\nskip = 5").unwrap().tokens;
        assert_eq!(tokens, Some(Tokens { skip: 5, grid: [14, 12] }));
        assert_eq!(parse("grid = [7, 7]").unwrap().tokens.unwrap().skip, 0);
        assert!(parse("grid = [0, 7]").unwrap_err().starts_with("tokens.grid"));
    }

    #[test]
    fn a_standard_deviation_of_zero_is_an_error() {
        let error =
            Manifest::parse("file = \"m.onnx\"\n[input]\nstd = [1.0, 0.0, 1.0]\n").unwrap_err();
        assert!(error.starts_with("input.std"), "{error}");
    }
}
