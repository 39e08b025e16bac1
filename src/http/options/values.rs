//! What options about the answer's form can say.

use super::Endpoint;
use crate::explain::Choice;
use crate::picture::colormap::Colormap;
use crate::picture::overlay::Blend;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// PNG: the coloured map over the image.
    Overlay,
    /// PNG: the coloured map.
    Heatmap,
    /// PNG: the map as grey levels.
    Gray,
    /// Everything as text.
    Json,
    /// The map as a NumPy array.
    Npy,
    /// PNG: all methods side by side.
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
    /// The forms that an endpoint's answer can have.
    #[must_use]
    pub const fn of(endpoint: Endpoint) -> &'static [Self] {
        match endpoint {
            Endpoint::Explain => &[Self::Overlay, Self::Heatmap, Self::Gray, Self::Json, Self::Npy],
            Endpoint::Compare => &[Self::Figure, Self::Json],
            Endpoint::Predict => &[Self::Json],
        }
    }
}

/// How large the map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As the image.
    Image,
    /// As the model's input.
    Input,
    /// As the layer.
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

/// How a map becomes an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rendering {
    /// The form of the answer.
    pub output: Output,
    /// How large the map is.
    pub size: Size,
    /// Its colours.
    pub colormap: Colormap,
    /// How an overlay is made.
    pub blend: Blend,
    /// How strongly the colours show.
    pub weight: f32,
    /// Whether the contrast is raised.
    pub emphasize: bool,
}
