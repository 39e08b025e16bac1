//! A model's graph and what is known about it: the stage between the file and its programs.

use std::collections::{BTreeMap, HashMap, HashSet};

use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::GraphProto;
use onnx_gradient::reachability::reachability;

use super::averaging::is_averaged;
use super::gradient_error::describe;
use super::head::{ClassifierHead, OutputHints, OutputKind, OutputSamples};
use super::layers::{
    self, Finder, Layer, LayerDeclaration, Layout, LayoutHints, Tokens, UnlistedLayer,
    UnlistedLayers,
};
use super::prepared::PreparedModel;
use super::seed::seed;
use super::training_mode::tensors_before;
use crate::error::{Error, Kind, Result};

/// What a manifest says about a model's outputs and layers.
#[derive(Clone, Debug)]
pub struct AnalysisOptions<'a> {
    /// The graph output to explain; found in the graph when absent.
    pub output: Option<&'a str>,
    /// What that output holds.
    pub output_kind: OutputKind,
    /// How many class labels there are; 0 when there are none.
    pub label_count: usize,
    /// Values of the outputs in a few runs.
    pub samples: OutputSamples,
    /// The layout of the image input: [`Layout::Maps`] or [`Layout::ChannelsLast`].
    pub image_layout: Layout,
    /// The grid of positions among the tokens, if it is configured.
    pub tokens: Option<Tokens>,
    /// Layer names of the manifest, each with the layer, node or tensor that it stands for.
    pub aliases: BTreeMap<String, LayerDeclaration>,
    /// A layer that has to be listed: the manifest's default.
    pub default_layer: Option<&'a str>,
}

impl Default for AnalysisOptions<'_> {
    fn default() -> Self {
        Self {
            output: None,
            output_kind: OutputKind::Auto,
            label_count: 0,
            samples: OutputSamples::default(),
            image_layout: Layout::Maps,
            tokens: None,
            aliases: BTreeMap::new(),
            default_layer: None,
        }
    }
}

/// A prepared graph with its measured facts, its head and its layers.
#[derive(Clone, Debug)]
pub struct AnalysedModel {
    /// The graph in the common dialect, and its image input.
    pub prepared: PreparedModel,
    /// Shapes and element types, measured with the largest batch that works.
    pub facts: TensorFacts,
    /// Where the scores are.
    pub head: ClassifierHead,
    /// The layers in order of computation; those that only the manifest names come last.
    pub layers: Vec<Layer>,
    /// Why a listed layer has no gradient, by its tensor. Layers with a gradient have no entry.
    pub gradient_unsupported_reasons: HashMap<String, String>,
    /// The tensors of listed layers that the score reads as averages over all positions.
    pub averaged: HashSet<String>,
    /// What the manifest says about the tensors.
    pub hints: LayoutHints,
    /// The other tensors, as far as requests have named them.
    pub unlisted: UnlistedLayers,
}

/// Why a name leads to no layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownLayer {
    /// The graph has no tensor, node or module of this name.
    NoSuchName,
    /// It has one that holds no maps, or none that could be traced.
    NoMaps(String),
}

impl AnalysedModel {
    /// Finds the head and the layers of a measured graph, and which layers have a gradient.
    ///
    /// # Errors
    /// [`Kind::Setup`] when there is no output of class scores, or when an output or layer that the
    /// manifest names is missing.
    pub fn new(
        mut prepared: PreparedModel,
        mut facts: TensorFacts,
        options: &AnalysisOptions<'_>,
    ) -> Result<Self> {
        let setup = |reason: String| Error::new(Kind::Setup, reason);
        let head = add_head(&mut prepared, &mut facts, options).map_err(setup)?;
        let used = tensors_before(prepared.graph(), head.ends());
        let varying_nodes = prepared.varying_nodes.iter().filter(|node| node.reaches(&used));
        prepared.varying_nodes = varying_nodes.cloned().collect();
        let graph = prepared.graph();
        let hints = LayoutHints { image: options.image_layout, tokens: options.tokens };
        let finder = Finder::new(graph, &facts, &head.tensor, hints);
        let mut layers = finder.find();
        finder.declare(&mut layers, &options.aliases).map_err(setup)?;
        if let Some(name) = options.default_layer {
            list_default(&finder, graph, &facts, &mut layers, name)
                .map_err(|reason| setup(format!("default_layer: {reason}")))?;
        }
        let gradient_unsupported_reasons =
            gradient_unsupported_reasons(&prepared, &facts, &head, &layers);
        let averaged = averaged(prepared.graph(), &facts, &head, &layers);
        let unlisted = UnlistedLayers::new(prepared.graph());
        Ok(Self {
            prepared,
            facts,
            head,
            layers,
            gradient_unsupported_reasons,
            averaged,
            hints,
            unlisted,
        })
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.prepared.graph()
    }

    /// The layer of this tensor: a listed one, or one that [`Self::resolve`] has found.
    #[must_use]
    pub fn layer(&self, tensor: &str) -> Option<&Layer> {
        let listed = self.layers.iter().find(|layer| layer.tensor == tensor);
        listed.or_else(|| self.unlisted.known(tensor).map(|known| &known.layer))
    }

    /// Finds the layer that a name stands for: in this order a listed layer by its name, an alias
    /// or its tensor, any other tensor, a node, or a module, which stands for its last layer. A node
    /// comes before a tensor of its name that holds no maps.
    ///
    /// # Errors
    /// [`UnknownLayer`] when the graph has nothing of this name, or it holds no maps.
    pub fn resolve(&self, name: &str) -> Result<&Layer, UnknownLayer> {
        if let Some(layer) = layers::find_named(&self.layers, name) {
            return Ok(layer);
        }
        let by_tensor = layers::computed(self.graph(), name).map(|tensor| self.of_tensor(tensor));
        if let Some(Ok(layer)) = by_tensor {
            return Ok(layer);
        }
        if let Some(layer) = layers::find_by_node(&self.layers, name) {
            return Ok(layer);
        }
        let by_node = || {
            let tensor = layers::computed_by(self.graph(), name)?;
            Some(self.of_tensor(tensor))
        };
        match (by_tensor, by_node()) {
            (_, Some(Ok(layer))) => return Ok(layer),
            (Some(refused), _) | (None, Some(refused)) => return refused,
            (None, None) => {}
        }
        if let Some(layer) = layers::last_inside(&self.layers, name) {
            return Ok(layer);
        }
        match layers::module_output(self.graph(), &self.facts, name) {
            Some(tensor) => self.of_tensor(tensor),
            None => Err(self.uncomputed(name)),
        }
    }

    /// Why a name that no node has is no layer.
    fn uncomputed(&self, name: &str) -> UnknownLayer {
        let graph = self.graph();
        if graph.initializer.iter().any(|tensor| tensor.name() == name) {
            let reason = format!("tensor '{name}' is a constant and does not depend on the image");
            return UnknownLayer::NoMaps(reason);
        }
        if graph.input.iter().any(|input| input.name() == name) {
            let reason = format!("'{name}' is the model's input; name a tensor after it");
            return UnknownLayer::NoMaps(reason);
        }
        UnknownLayer::NoSuchName
    }

    /// The layer of any tensor that a node computes.
    fn of_tensor(&self, tensor: &str) -> Result<&Layer, UnknownLayer> {
        if let Some(listed) = self.layers.iter().find(|layer| layer.tensor == tensor) {
            return Ok(listed);
        }
        let found = self.unlisted.get(tensor, || self.examine(tensor));
        match found.unwrap_or(Err("is computed by no node")) {
            // Integers stand for their floats, which may be a layer of the list.
            Ok(found) => Ok((self.layers.iter())
                .find(|layer| layer.tensor == found.layer.tensor)
                .unwrap_or(&found.layer)),
            Err(reason) => Err(UnknownLayer::NoMaps(reason.to_owned())),
        }
    }

    fn examine(&self, tensor: &str) -> Result<UnlistedLayer, String> {
        let Self { prepared, facts, head, .. } = self;
        let finder = Finder::new(self.graph(), facts, &head.tensor, self.hints);
        let mut layer = finder.requested(tensor)?;
        // The name must lead back to this layer, and a listed layer's names come first.
        if layers::find_named(&self.layers, &layer.name).is_some()
            && layers::find(&self.layers, &layer.node).is_none()
            && layers::computed(self.graph(), &layer.node).is_none()
        {
            layer.name.clone_from(&layer.node);
        }
        let reasons =
            gradient_unsupported_reasons(prepared, facts, head, std::slice::from_ref(&layer));
        let gradient_unsupported_reason = reasons.into_values().next();
        Ok(UnlistedLayer { layer, gradient_unsupported_reason })
    }

    /// Why a layer has no gradient, if it has none: the operator and node that block it.
    #[must_use]
    pub fn gradient_unsupported_reason(&self, layer: &Layer) -> Option<&str> {
        let unlisted = || self.unlisted.known(&layer.tensor)?.gradient_unsupported_reason.as_ref();
        self.gradient_unsupported_reasons.get(&layer.tensor).or_else(unlisted).map(String::as_str)
    }
}

/// Finds the head, and adds its tensors to the graph.
fn add_head(
    prepared: &mut PreparedModel,
    facts: &mut TensorFacts,
    options: &AnalysisOptions<'_>,
) -> std::result::Result<ClassifierHead, String> {
    let AnalysisOptions { output, output_kind: kind, label_count, ref samples, .. } = *options;
    let hints = OutputHints { output, kind, label_count, samples };
    let (head, added) = ClassifierHead::find(prepared.graph(), facts, &hints)?;
    let before = prepared.graph().node.len();
    let graph = prepared.model.graph.get_or_insert_default();
    graph.node.extend(added.nodes);
    graph.initializer.extend(added.initializers);
    for (tensor, shape, element) in &added.like {
        facts.add_like(tensor, shape, element);
    }
    if prepared.unsupported_reason.is_none()
        && head.differentiated_probabilities().is_some()
        && seed(&GraphIndex::new(prepared.graph()), facts, &head).is_err()
    {
        prepared.model.graph.get_or_insert_default().node.truncate(before);
        return Ok(head.without_logits());
    }
    Ok(head)
}

/// Adds the layer of this name to the listed ones, if it isn't among them. As in a request, another
/// tensor comes before a listed layer's node.
fn list_default(
    finder: &Finder<'_>,
    graph: &GraphProto,
    facts: &TensorFacts,
    layers: &mut Vec<Layer>,
    name: &str,
) -> std::result::Result<(), String> {
    if layers::find_named(layers, name).is_some() {
        return Ok(());
    }
    let by_tensor = layers::computed(graph, name).map(|tensor| finder.requested(tensor));
    let mut layer = match by_tensor {
        Some(Ok(layer)) => layer,
        _ if layers::find(layers, name).or(layers::last_inside(layers, name)).is_some() => {
            return Ok(());
        }
        Some(refused) => refused?,
        None => match unlisted_tensor(graph, facts, name) {
            Some(tensor) => finder.requested(tensor)?,
            None => return Ok(()),
        },
    };
    // Integers stand for their floats, which may be listed.
    match layers.iter_mut().find(|listed| listed.tensor == layer.tensor) {
        Some(listed) => listed.other_names.push(name.to_owned()),
        None => {
            layer.other_names.push(name.to_owned());
            layers.push(layer);
        }
    }
    Ok(())
}

/// The tensor of a name that no listed layer has.
fn unlisted_tensor<'g>(graph: &'g GraphProto, facts: &TensorFacts, name: &str) -> Option<&'g str> {
    layers::tensor_named(graph, name).or_else(|| layers::module_output(graph, facts, name))
}

/// Why layers have no gradient, found by one walk over the graph for all of them.
fn gradient_unsupported_reasons(
    prepared: &PreparedModel,
    facts: &TensorFacts,
    head: &ClassifierHead,
    layers: &[Layer],
) -> HashMap<String, String> {
    let tensors: Vec<&str> = layers.iter().map(|layer| layer.tensor.as_str()).collect();
    let verdicts = match &prepared.unsupported_reason {
        Some(reason) => vec![Err(reason.clone()); layers.len()],
        None => reachability(&GraphIndex::new(prepared.graph()), facts, &head.tensor, &tensors)
            .into_iter()
            .map(|verdict| verdict.map_err(|error| describe(&error)))
            .collect(),
    };
    let obstacle = |(layer, verdict): (&Layer, std::result::Result<(), String>)| {
        let reason = match verdict {
            Err(reason) => reason,
            Ok(()) if layer.affects_score_per_position => return None,
            Ok(()) => CLASS_TOKEN_ONLY.to_owned(),
        };
        Some((layer.tensor.clone(), reason))
    };
    layers.iter().zip(verdicts).filter_map(obstacle).collect()
}

/// The tensors of the layers that the score reads as averages over all positions.
fn averaged(
    graph: &GraphProto,
    facts: &TensorFacts,
    head: &ClassifierHead,
    layers: &[Layer],
) -> HashSet<String> {
    let (graph_index, before_score) = (GraphIndex::new(graph), tensors_before(graph, head.ends()));
    let of_layers =
        layers.iter().filter(|layer| is_averaged(&graph_index, facts, layer, &before_score));
    of_layers.map(|layer| layer.tensor.clone()).collect()
}

/// Why a layer after a transformer's last attention has no gradient.
const CLASS_TOKEN_ONLY: &str = "after this layer the score depends on the class token alone, so \
     its positions have no gradient; the last layer that has one is the normalisation before the \
     last attention";
