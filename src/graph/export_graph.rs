//! The graph that leaves the process: the model's own outputs, and one gradient for each image.
//!
//! The engine's program ([`explain_graph`](super::explain_graph)) differentiates several classes in
//! a `Loop`. An exported file explains one class of each image, so its backward pass stands beside
//! the forward pass, without a loop, which every runtime of ONNX can run.

use super::analysed::AnalysedModel;
use super::explain_graph::forward;
use super::gradient_error::describe;
use super::layers::Layer;
use super::program_io::{GradientOf, io_names};
use super::seed::seed;
use super::tail::{SideInput, tail};
use onnx_gradient::backward::{Backward, backward};
use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, TensorProto,
    TensorShapeProto, ValueInfoProto, data_type,
};

/// Which class of each image an exported graph explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// An input `target`, int64 `[N]`: a class for each image, −1 for its predicted one.
    Input,
    /// The predicted class of each image.
    Predicted,
    /// This class.
    Class(usize),
}

/// The name of the input with [`ExportTarget::Input`].
pub const TARGET_INPUT: &str = "target";

/// A graph with the model's own outputs, in which a layer and the gradient at it are computed.
#[derive(Debug)]
pub struct ExportGraph {
    /// The model.
    pub model: ModelProto,
    /// The layer's activation, float32 `[N, C, h, w]`.
    pub activation: String,
    /// The gradient of each image's score at it, of the same shape; none where none was asked for.
    pub gradient: Option<String>,
    /// The class of each image, int64 `[N, 1]`.
    pub class: String,
}

/// A part of the model that passes run through.
#[derive(Debug)]
pub struct Part {
    /// A program with the outputs [`io_names::SCORES`] and [`io_names::PROBABILITIES`].
    pub program: ModelProto,
    /// The input that a pass changes.
    pub input: String,
    /// The other inputs, with the tensors of the whole graph that they take.
    pub others: Vec<(String, String)>,
}

impl Part {
    /// The whole model.
    #[must_use]
    pub fn whole(analysed: &AnalysedModel) -> Self {
        let input = analysed.prepared.input.name.clone();
        Self { program: forward(analysed, &[]), input, others: Vec::new() }
    }

    /// The part of the model after a layer.
    ///
    /// # Errors
    /// Why it can't run on its own.
    pub fn after(analysed: &AnalysedModel, layer: &Layer) -> Result<Self, String> {
        let (after, others) = tail(analysed, layer)?;
        let others = others.into_iter().map(|SideInput { name, tensor }| (name, tensor));
        Ok(Self { others: others.collect(), ..Self::whole(&after) })
    }
}

/// Writes the forward pass, the activation of a layer, and the backward pass for the score that is
/// differentiated, if one is.
///
/// # Errors
/// Why the layer has no gradient, or that the model has a tensor of the name [`TARGET_INPUT`].
pub fn export_graph(
    analysed: &AnalysedModel,
    layer: &Layer,
    target: ExportTarget,
    gradient_of: Option<GradientOf>,
) -> Result<ExportGraph, String> {
    let mut model = forward(analysed, &[layer]);
    let graph = model.graph.get_or_insert_default();
    let activation = graph.output.last().map(|output| output.name().to_owned());
    let activation = activation.ok_or("the layer has no activation")?;
    graph.output.clone_from(&analysed.prepared.graph().output);
    let class = targets(graph, target)?;
    let gradient = gradient_of.map(|of| add_gradient(graph, analysed, layer, of)).transpose()?;
    Ok(ExportGraph { model, activation, gradient, class })
}

/// Writes the backward pass to a layer, and returns the gradient's name.
fn add_gradient(
    graph: &mut GraphProto,
    AnalysedModel { prepared, facts, head, .. }: &AnalysedModel,
    layer: &Layer,
    gradient_of: GradientOf,
) -> Result<String, String> {
    if let Some(reason) = &prepared.unsupported_reason {
        return Err(reason.clone());
    }
    let graph_index = GraphIndex::new(prepared.graph());
    let (seed_nodes, seed_constants, seed) =
        seed(&graph_index, facts, head).map_err(|error| describe(&error))?;
    let tensors = [layer.tensor.as_str()];
    let Backward { nodes, initializers, gradients } =
        backward(&graph_index, facts, &head.tensor, &tensors, &seed, "camlens/gradient/")
            .map_err(|error| describe(&error))?;
    graph.initializer.push(TensorProto::int64(io_names::ITERATION, &[], &[0]));
    graph.initializer.push(TensorProto::int64(io_names::GRADIENT_OF, &[1], &[gradient_of as i64]));
    graph.initializer.extend(seed_constants);
    graph.initializer.extend(initializers);
    graph.node.extend(seed_nodes);
    graph.node.extend(nodes);
    let gradient = "camlens/maps/0".to_owned();
    let (nodes, constants) = layer.layout.to_maps(layer.shape, &gradients[0], &gradient);
    graph.node.extend(nodes);
    graph.initializer.extend(constants);
    Ok(gradient)
}

/// Computes the tensors from which the seed reads the classes, int64 `[1, N]`. Returns the name of
/// the classes with the predicted ones in their places, int64 `[N, 1]`.
fn targets(graph: &mut GraphProto, target: ExportTarget) -> Result<String, String> {
    let mut builder = GraphBuilder::sharing_constants("camlens/target/");
    let images = builder.sizes(io_names::SCORES, 0, 1);
    let one = builder.int64s(&[1]);
    let shape = builder.op_with("Concat", &[&one, &images], [AttributeProto::int("axis", 0)]);
    let mut all = |class: i64| {
        let class = builder.int64(class);
        builder.op("Expand", &[&class, &shape])
    };
    let none = all(-1);
    let chosen = match target {
        ExportTarget::Predicted => none.clone(),
        ExportTarget::Class(class) => all(class as i64),
        ExportTarget::Input => {
            let is_taken = |name: &str| name == TARGET_INPUT;
            if onnx_gradient::index::find_name(graph, &is_taken).is_some() {
                return Err(format!("the model itself has a tensor or node '{TARGET_INPUT}'"));
            }
            let images = DimensionValue::Name("N".into());
            let dim = vec![Dimension { value: Some(images), denotation: None }];
            let shape = Some(TensorShapeProto { dim });
            graph.input.push(ValueInfoProto::typed(TARGET_INPUT, data_type::INT64, shape));
            let first = builder.int64s(&[0]);
            builder.op("Unsqueeze", &[TARGET_INPUT, &first])
        }
    };
    for (name, tensor) in [(io_names::TARGET, &chosen), (io_names::CONTRAST, &none)] {
        builder.named_op(name, "Identity", &[tensor], []);
    }
    let along_classes = [AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 1)];
    let predicted = builder.op_with("ArgMax", &[io_names::SCORES], along_classes);
    let requested = builder.reshape(&chosen, &[-1, 1]);
    let zero = builder.int64(0);
    let is_unset = builder.op("Less", &[&requested, &zero]);
    let class = builder.op("Where", &[&is_unset, &predicted, &requested]);
    let (nodes, constants) = builder.finish();
    graph.node.extend(nodes);
    graph.initializer.extend(constants);
    Ok(class)
}
