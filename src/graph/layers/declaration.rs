//! Layers that a manifest declares: `[layers]` in `model.toml`.

use serde::{Deserialize, Serialize};

use super::Layout;

/// What an alias of the manifest stands for.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum LayerDeclaration {
    /// A layer, a node or a tensor by its name.
    Tensor(String),
    /// The same with the order of its axes, where they can't be traced.
    WithLayout {
        /// The name of the layer, node or tensor.
        tensor: String,
        /// The order of the axes.
        layout: DeclaredLayout,
    },
}

/// The order of a tensor's axes, as a manifest declares it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum DeclaredLayout {
    /// `[N, C, h, w]`.
    Nchw,
    /// `[N, h, w, C]`.
    Nhwc,
}

impl LayerDeclaration {
    /// The name of the layer, node or tensor.
    pub(super) fn tensor(&self) -> &str {
        match self {
            Self::Tensor(tensor) | Self::WithLayout { tensor, .. } => tensor,
        }
    }

    /// The order of the axes, if the manifest gives it.
    pub(super) fn layout(&self) -> Option<Layout> {
        match self {
            Self::Tensor(_) => None,
            Self::WithLayout { layout: DeclaredLayout::Nchw, .. } => Some(Layout::Maps),
            Self::WithLayout { layout: DeclaredLayout::Nhwc, .. } => Some(Layout::ChannelsLast),
        }
    }
}

impl From<&str> for LayerDeclaration {
    fn from(tensor: &str) -> Self {
        Self::Tensor(tensor.to_owned())
    }
}
