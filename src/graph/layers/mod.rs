//! The layers that can be explained, under the names that people know.
//!
//! A layer is a tensor that a person would point at and that holds maps: the output
//! of a convolution after its normalisation and activation (the papers' `A`), of a
//! pooling, of a residual sum, of a concatenation, of a transformer's normalisation.
//! [`Finder`] finds them, [`axes`] traces what a tensor's axes stand for, [`Layout`]
//! says how to read maps from it, [`resolve`] which of them somebody means.

pub mod axes;
mod finder;
mod layout;
mod names;
mod span;

pub use finder::{Finder, Hints};
pub use layout::{Layout, Tokens};

/// What a tensor has to hold, for messages.
pub const FORMS: &str =
    "maps of floats: [N, C, h, w], [N, h, w, C], or tokens [N, T, C] of a known grid";

/// A tensor that can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The friendly name.
    pub name: String,
    /// The name of the tensor in the ONNX file.
    pub tensor: String,
    /// The name of the node that makes it.
    pub node: String,
    /// `[C, h, w]` for the model's own input size.
    pub shape: [usize; 3],
    /// How the tensor holds them.
    pub layout: Layout,
    /// True for the output of a pooling.
    pub is_pooled: bool,
    /// True when each place of the layer has a way of its own to the score. Behind a transformer's
    /// last attention only the class token has one.
    pub places_count: bool,
    /// True when numbers are rounded to integers between the layer and the score, so that its
    /// gradient is a straight-through estimate.
    pub is_estimated: bool,
}

/// Finds the layer that a person means: a friendly name, an alias of the manifest, a node, a
/// tensor, or a module that holds several layers, whose last one is meant (`layer4` of a ResNet).
#[must_use]
pub fn resolve<'a>(layers: &'a [Layer], asked: &str) -> Option<&'a Layer> {
    let exact =
        |layer: &&Layer| layer.name == asked || layer.tensor == asked || layer.node == asked;
    let inside = |layer: &&Layer| {
        layer
            .name
            .strip_prefix(asked)
            .is_some_and(|rest| rest.starts_with('.') || rest.starts_with('/'))
    };
    layers.iter().find(exact).or_else(|| layers.iter().rev().find(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_means_its_last_layer() {
        let layer = |name: &str| Layer {
            name: name.into(),
            tensor: name.into(),
            node: name.into(),
            shape: [1, 2, 2],
            layout: Layout::Maps,
            is_pooled: false,
            places_count: true,
            is_estimated: false,
        };
        let layers = [layer("layer4.0.relu"), layer("layer4.1.relu"), layer("layer40.0")];
        assert_eq!(
            resolve(&layers, "layer4").map(|layer| layer.name.as_str()),
            Some("layer4.1.relu")
        );
        assert_eq!(
            resolve(&layers, "layer4.0").map(|layer| layer.name.as_str()),
            Some("layer4.0.relu")
        );
        assert_eq!(resolve(&layers, "layer"), None);
    }
}
