//! The layers that can be explained, and their names.
//!
//! A layer is a tensor of maps at the output of a convolution (after its normalisation and
//! activation: `A` in the papers), a pooling, a residual sum, a concatenation or a transformer's
//! normalisation. [`Finder`] finds the layers of a graph, [`axes`] traces what a tensor's axes
//! stand for, [`Layout`] says how a tensor holds its maps, and [`find`] finds a layer by name. Any
//! other tensor with traced axes can be explained too; [`UnlistedLayers`] holds those that were
//! requested.

pub mod axes;
mod declaration;
mod elementwise;
mod finder;
mod layer_output;
mod layout;
mod names;
mod rearrangement;
mod refusal;
mod tokens;
mod unlisted;

pub use declaration::{DeclaredLayout, LayerDeclaration};
pub use finder::{Finder, LayoutHints};
pub use layout::Layout;
pub use rearrangement::Rearrangement;
pub use tokens::Tokens;
pub use unlisted::{
    UnlistedLayer, UnlistedLayers, computed, computed_by, module_output, tensor_named,
};

/// What a layer's tensor must hold, for error messages.
pub const FORMS: &str =
    "maps of floats: [N, C, h, w], [N, h, w, C], or tokens [N, T, C] of a known grid";

/// A tensor that can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The name that users see, unique among the layers that a model lists.
    pub name: String,
    /// Names that lead to the layer besides: those that an alias of the manifest replaced.
    pub other_names: Vec<String>,
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
    /// The node that may have moved positions between the image and the layer, as `'name' (Op)`,
    /// because rows and columns could not be traced through it.
    pub moved_by: Option<String>,
}

/// Finds a listed layer by its name, an alias of the manifest, its tensor or its node, in this
/// order.
#[must_use]
pub fn find<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Layer> {
    find_named(layers, name).or_else(|| find_by_node(layers, name))
}

/// Finds a listed layer by its name, an alias of the manifest or its tensor. A node's name is not
/// among them, because another tensor of the graph may have it.
#[must_use]
pub fn find_named<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Layer> {
    let by_name = || layers.iter().find(|layer| layer.name == name);
    let by_other = || layers.iter().find(|layer| layer.other_names.iter().any(|own| own == name));
    let by_tensor = || layers.iter().find(|layer| layer.tensor == name);
    by_name().or_else(by_other).or_else(by_tensor)
}

/// Finds a listed layer by the node that computes it.
#[must_use]
pub fn find_by_node<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Layer> {
    layers.iter().find(|layer| layer.node == name)
}

/// The last listed layer in a module: `layer4` of a ResNet holds several.
#[must_use]
pub fn last_inside<'a>(layers: &'a [Layer], module: &str) -> Option<&'a Layer> {
    layers.iter().rev().find(|layer| names::is_inside(&layer.name, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, tensor: &str, node: &str) -> Layer {
        Layer {
            name: name.into(),
            other_names: Vec::new(),
            tensor: tensor.into(),
            node: node.into(),
            shape: [1, 2, 2],
            layout: Layout::Maps,
            is_pooled: false,
            affects_score_per_position: true,
            is_straight_through: false,
            moved_by: None,
        }
    }

    #[test]
    fn a_module_name_leads_to_its_last_layer() {
        let layers =
            ["layer4.0.relu", "layer4.1.relu", "layer40.0"].map(|name| layer(name, name, name));
        let inside = |module: &str| last_inside(&layers, module).map(|layer| layer.name.as_str());
        assert_eq!(inside("layer4"), Some("layer4.1.relu"));
        assert_eq!(inside("layer4.0"), Some("layer4.0.relu"));
        assert_eq!(inside("layer"), None);
    }

    #[test]
    fn a_layer_s_own_name_comes_before_another_layer_s_node_and_tensor() {
        let layers = [layer("a", "c", "b"), layer("b", "b2", "c"), layer("c", "c2", "n")];
        let found = |name: &str| find(&layers, name).map(|layer| layer.name.as_str());
        assert_eq!(["a", "b", "c", "c2", "n"].map(found), ["a", "b", "c", "c", "c"].map(Some));
        assert_eq!(found("d"), None);
    }
}
