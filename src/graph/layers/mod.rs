//! The layers that can be explained, and their names.
//!
//! A layer is a tensor of maps at the output of a convolution (after its normalisation and
//! activation: `A` in the papers), a pooling, a residual sum, a concatenation or a transformer's
//! normalisation. [`Finder`] finds the layers of a graph, [`axes`] traces what a tensor's axes
//! stand for, [`Layout`] says how a tensor holds its maps, and [`resolve`] finds a layer by name.

pub mod axes;
mod finder;
mod layer_output;
mod layout;
mod names;

pub use finder::{Finder, LayoutHints};
pub use layout::{Layout, Tokens};

/// What a layer's tensor must hold, for error messages.
pub const FORMS: &str =
    "maps of floats: [N, C, h, w], [N, h, w, C], or tokens [N, T, C] of a known grid";

/// A tensor that can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The name that users see.
    pub name: String,
    /// The name of the tensor in the ONNX file.
    pub tensor: String,
    /// The name of the node that produces it.
    pub node: String,
    /// `[C, h, w]` for the model's own input size.
    pub shape: [usize; 3],
    /// How the tensor holds its maps.
    pub layout: Layout,
    /// True for the output of a pooling.
    pub is_pooled: bool,
    /// True when every spatial position influences the score. After a transformer's last attention
    /// only the class token may.
    pub affects_score_per_position: bool,
    /// True when values are quantised between the layer and the score, so that the layer's gradient
    /// is a straight-through estimate.
    pub is_straight_through: bool,
}

/// Finds a layer by its name, an alias of the manifest, its node, its tensor, or a module that
/// holds several layers, of which it returns the last (`layer4` of a ResNet).
#[must_use]
pub fn resolve<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Layer> {
    let exact = |layer: &&Layer| layer.name == name || layer.tensor == name || layer.node == name;
    let inside = |layer: &&Layer| {
        layer
            .name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.') || rest.starts_with('/'))
    };
    layers.iter().find(exact).or_else(|| layers.iter().rev().find(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_name_resolves_to_its_last_layer() {
        let layer = |name: &str| Layer {
            name: name.into(),
            tensor: name.into(),
            node: name.into(),
            shape: [1, 2, 2],
            layout: Layout::Maps,
            is_pooled: false,
            affects_score_per_position: true,
            is_straight_through: false,
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
