//! Layers that a manifest declares or a request names.

use std::collections::{BTreeMap, HashMap};

use onnx_gradient::dtype::is_float;

use super::Finder;
use crate::graph::layers::names::make_way;
use crate::graph::layers::refusal::Refused;
use crate::graph::layers::unlisted::{computed, computed_by, floats_of};
use crate::graph::layers::{FORMS, Layer, LayerDeclaration, Layout, find_by_node, find_named};

impl Finder<'_> {
    /// Gives layers the names that a manifest declares. A declaration names a layer, a node or a
    /// tensor; one that is not listed yet is added.
    ///
    /// # Errors
    /// When the model has no such node or tensor, or it holds no maps, or when an alias is the name
    /// of another tensor that can be explained.
    pub fn declare(
        &self,
        layers: &mut Vec<Layer>,
        declared: &BTreeMap<String, LayerDeclaration>,
    ) -> Result<(), String> {
        let mut owners: HashMap<&str, usize> = HashMap::new();
        // All targets are resolved before any name changes.
        for (alias, declaration) in declared {
            let tensor = self.target(layers, declaration.tensor());
            let known = |tensor: &String| layers.iter().position(|layer| layer.tensor == *tensor);
            let index = match tensor.as_ref().and_then(known) {
                Some(index) => index,
                None => {
                    let layer = tensor.and_then(|tensor| self.declared(&tensor, declaration));
                    layers.push(layer.ok_or_else(|| {
                        format!(
                            "layers.{alias}: the model has no node or tensor '{}' that holds \
                             {FORMS}",
                            declaration.tensor()
                        )
                    })?);
                    layers.len() - 1
                }
            };
            if let Some(layout) = declaration.layout() {
                let layer = &mut layers[index];
                let sizes = self.facts.get(&layer.tensor).unwrap_or_default();
                layer.shape = layout.shape(sizes).ok_or_else(|| {
                    format!("layers.{alias}: {sizes:?} can't be {}", layout.name())
                })?;
                layer.layout = layout;
                layer.moved_by = None;
            }
            self.check_alias(alias, &layers[index])?;
            owners.insert(alias, index);
        }
        let mut named: Vec<(&str, usize)> = owners.iter().map(|(name, at)| (*name, *at)).collect();
        named.sort_unstable();
        for (alias, index) in named {
            let layer = &mut layers[index];
            if layer.name != alias {
                let former = std::mem::replace(&mut layer.name, alias.to_owned());
                layer.other_names.push(former);
            }
        }
        make_way(layers, &owners);
        Ok(())
    }

    /// The tensor that a declaration names: in this order a listed layer by its name or tensor, any
    /// other tensor, or a node.
    fn target(&self, layers: &[Layer], name: &str) -> Option<String> {
        let graph = self.graph_index.graph;
        let listed = |layer: &Layer| layer.tensor.clone();
        let by_tensor = || computed(graph, name).map(str::to_owned);
        let by_node = || computed_by(graph, name).map(str::to_owned);
        (find_named(layers, name).map(listed).or_else(by_tensor))
            .or_else(|| find_by_node(layers, name).map(listed))
            .or_else(by_node)
    }

    /// An alias must not hide another tensor that can be explained by this name.
    fn check_alias(&self, alias: &str, layer: &Layer) -> Result<(), String> {
        if self.graph_index.producer(alias).is_none() {
            return Ok(());
        }
        match self.requested(alias) {
            Ok(other) if other.tensor != layer.tensor => Err(format!(
                "layers.{alias}: this alias of '{}' is the name of another tensor, which could no \
                 longer be explained by it; choose another alias",
                layer.tensor
            )),
            _ => Ok(()),
        }
    }

    /// A tensor that the manifest names; it counts as maps even where it could not be traced.
    fn declared(&self, tensor: &str, declaration: &LayerDeclaration) -> Option<Layer> {
        self.requested(tensor).ok().or_else(|| {
            let tensor = floats_of(self.graph_index.graph, self.facts, tensor);
            let is_float = is_float(self.facts.element_type(tensor));
            let layout = declaration.layout().unwrap_or(Layout::Maps);
            is_float.then(|| self.tensor_layer(tensor, layout))?
        })
    }

    /// Any tensor of the graph as a layer. Its name is the tensor's.
    ///
    /// # Errors
    /// What the tensor holds instead of maps, and how to declare it if it does hold some.
    pub fn requested(&self, tensor: &str) -> Result<Layer, String> {
        let tensor = floats_of(self.graph_index.graph, self.facts, tensor);
        let node = self.graph_index.producer(tensor);
        let node = node.ok_or_else(|| format!("'{tensor}' is computed by no node"))?;
        let sizes = self.facts.get(tensor);
        let depends_on_image = self.of_image.contains(tensor);
        let layout = self.layout(tensor).or_else(|| self.rearranged(tensor));
        let layout = layout.filter(|_| depends_on_image);
        layout.and_then(|layout| self.tensor_layer(tensor, layout)).ok_or_else(|| {
            let refused = Refused {
                tensor,
                node,
                element_type: self.facts.element_type(tensor),
                sizes,
                images: self.images(),
                depends_on_image,
            };
            refused.reason()
        })
    }

    fn tensor_layer(&self, tensor: &str, layout: Layout) -> Option<Layer> {
        let node = self.graph_index.producer(tensor)?;
        Some(Layer {
            name: tensor.to_owned(),
            other_names: Vec::new(),
            tensor: tensor.to_owned(),
            node: node.label().to_owned(),
            shape: layout.shape(self.facts.get(tensor)?)?,
            layout,
            is_pooled: node.op().ends_with("Pool"),
            affects_score_per_position: self.affects_score_per_position(tensor, layout),
            is_straight_through: self.straight_through.contains(tensor),
            moved_by: self.moved_by(tensor, layout),
        })
    }
}
