//! A model's graph and what is known about it: the stage between the file and its programs.

use std::collections::{BTreeMap, HashMap};

use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::GraphProto;
use onnx_gradient::reachability::reachability;

use super::gradient_error::describe;
use super::head::{ClassifierHead, OutputHints, OutputKind, OutputSamples};
use super::layers::{Finder, Layer, Layout, LayoutHints, Tokens};
use super::prepared::PreparedModel;
use super::seed::seed;
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
    pub aliases: BTreeMap<String, String>,
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
    /// Why a layer has no gradient, by its tensor. Layers with a gradient are not listed.
    pub gradient_unsupported_reasons: HashMap<String, String>,
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
        let graph = prepared.graph();
        let hints = LayoutHints { image: options.image_layout, tokens: options.tokens };
        let finder = Finder::new(graph, &facts, &head.tensor, hints);
        let mut layers = finder.find();
        for (alias, target) in &options.aliases {
            finder.add_alias(&mut layers, alias, target).map_err(setup)?;
        }
        let gradient_unsupported_reasons =
            gradient_unsupported_reasons(&prepared, &facts, &head, &layers);
        Ok(Self { prepared, facts, head, layers, gradient_unsupported_reasons })
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.prepared.graph()
    }

    /// The layer of this tensor.
    #[must_use]
    pub fn layer(&self, tensor: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.tensor == tensor)
    }

    /// Why a layer has no gradient, if it has none: the operator and node that block it.
    #[must_use]
    pub fn gradient_unsupported_reason(&self, layer: &Layer) -> Option<&str> {
        self.gradient_unsupported_reasons.get(&layer.tensor).map(String::as_str)
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

/// Why a layer after a transformer's last attention has no gradient.
const CLASS_TOKEN_ONLY: &str = "after this layer the score depends on the class token alone, so \
     its positions have no gradient; the last layer that has one is the normalisation before the \
     last attention";
