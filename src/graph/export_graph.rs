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
use onnx_gradient::backward::{Backward, backward};
use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
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
    /// The gradient of each image's score at it, of the same shape.
    pub gradient: String,
}

/// Writes the forward pass, the backward pass and the activation of a layer.
///
/// # Errors
/// Why the layer has no gradient, or that the model has a tensor of the name [`TARGET_INPUT`].
pub fn export_graph(
    analysed: &AnalysedModel,
    layer: &Layer,
    target: ExportTarget,
    gradient_of: GradientOf,
) -> Result<ExportGraph, String> {
    let AnalysedModel { prepared, facts, head, .. } = analysed;
    if let Some(reason) = &prepared.unsupported_reason {
        return Err(reason.clone());
    }
    let graph_index = GraphIndex::new(analysed.graph());
    let (seed_nodes, seed_constants, seed) =
        seed(&graph_index, facts, head).map_err(|error| describe(&error))?;
    let tensors = [layer.tensor.as_str()];
    let Backward { nodes, initializers, gradients } =
        backward(&graph_index, facts, &head.tensor, &tensors, &seed, "camlens/gradient/")
            .map_err(|error| describe(&error))?;

    let mut model = forward(analysed, &[layer]);
    let graph = model.graph.get_or_insert_default();
    let activation = graph.output.last().map(|output| output.name().to_owned());
    let activation = activation.ok_or("the layer has no activation")?;
    graph.output.clone_from(&prepared.graph().output);
    let (own, constants) = targets(graph, target)?;
    graph.node.extend(own);
    graph.initializer.extend(constants);
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
    Ok(ExportGraph { model, activation, gradient })
}

/// Computes the tensors from which the seed reads the classes, int64 `[1, N]`.
fn targets(
    graph: &mut GraphProto,
    target: ExportTarget,
) -> Result<(Vec<NodeProto>, Vec<TensorProto>), String> {
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
    Ok(builder.finish())
}
