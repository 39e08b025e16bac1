//! The form and appearance of a response.

use crate::app::operation::Operation;
use crate::explain::Choice;
use crate::picture::colormap::Colormap;
use crate::picture::encode::Format;
use crate::picture::overlay::Blend;

/// The form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A picture: the coloured map over the image.
    Overlay,
    /// A picture: the coloured map.
    Heatmap,
    /// A picture: the map as grey levels.
    Gray,
    /// JSON: the map or maps, the predictions and all metadata.
    Json,
    /// The map as a NumPy array.
    Npy,
    /// A picture: all methods side by side.
    Figure,
}

impl Choice for Output {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("overlay", Self::Overlay),
        ("heatmap", Self::Heatmap),
        ("gray", Self::Gray),
        ("json", Self::Json),
        ("npy", Self::Npy),
        ("figure", Self::Figure),
    ];
}

impl Output {
    /// The forms that an operation's response can have; the first is the default.
    #[must_use]
    pub const fn for_operation(operation: Operation) -> &'static [Self] {
        match operation {
            Operation::Explain => {
                &[Self::Overlay, Self::Heatmap, Self::Gray, Self::Json, Self::Npy]
            }
            Operation::Compare => &[Self::Figure, Self::Json],
            Operation::Predict => &[Self::Json],
        }
    }

    /// Whether this is a picture.
    #[must_use]
    pub const fn is_picture(self) -> bool {
        !matches!(self, Self::Json | Self::Npy)
    }

    /// The names of these forms.
    #[must_use]
    pub fn names(operation: Operation) -> Vec<&'static str> {
        Self::for_operation(operation).iter().map(|output| output.name()).collect()
    }
}

/// What a response is if no option says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// The form.
    pub output: Output,
    /// The file format, if it is a picture.
    pub format: Format,
}

impl From<Output> for Preference {
    fn from(output: Output) -> Self {
        Self { output, format: Format::default() }
    }
}

impl Choice for Format {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("png", Self::Png), ("jpeg", Self::Jpeg), ("webp", Self::Webp), ("svg", Self::Svg)];
}

/// The size of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The image's, in pixels.
    Image,
    /// The model input's, `[H, W]`.
    Input,
    /// The layer's, `[h, w]`.
    Layer,
}

impl Choice for Size {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("image", Self::Image), ("input", Self::Input), ("layer", Self::Layer)];
}

impl Choice for Blend {
    const CHOICES: &'static [(&'static str, Self)] = &[("add", Self::Add), ("mix", Self::Mix)];
}

impl Choice for Colormap {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("jet", Self::Jet),
        ("turbo", Self::Turbo),
        ("viridis", Self::Viridis),
        ("inferno", Self::Inferno),
        ("magma", Self::Magma),
        ("plasma", Self::Plasma),
        ("cividis", Self::Cividis),
        ("gray", Self::Gray),
        ("coolwarm", Self::Coolwarm),
        ("rdbu", Self::RdBu),
    ];
}

/// How a map becomes a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rendering {
    /// The form of the response.
    pub output: Output,
    /// The file format of a picture.
    pub format: Format,
    /// The resolution of a figure, if the request gives one.
    pub dpi: Option<u16>,
    /// The number of columns of a figure, if the request gives one.
    pub columns: Option<usize>,
    /// The size of the map.
    pub size: Size,
    /// The colours of a picture.
    pub colormap: Colormap,
    /// How an overlay combines colours and image.
    pub blend: Blend,
    /// The opacity of the colours, 0..1.
    pub weight: f32,
    /// Whether the contrast is raised.
    pub emphasize: bool,
}

/// The resolution of a figure if a request gives none: its panels are 300 pixels wide or high.
pub const DEFAULT_DPI: u16 = 150;

impl Rendering {
    /// The resolution of a figure, in dots per inch.
    #[must_use]
    pub fn dpi(&self) -> u16 {
        self.dpi.unwrap_or(DEFAULT_DPI)
    }
}
