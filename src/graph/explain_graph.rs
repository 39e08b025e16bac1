//! The graph that the engine runs: forward pass, activation and gradients in one.
//!
//! The backward pass is the body of a `Loop` with one iteration for each class that a run explains:
//! several classes share one forward pass, and a run that explains none costs no backward pass.
//! (Requesting fewer outputs from the runtime would not skip a node.) The body reads the forward
//! graph's activations and weights, without copies. The classes are an input of every run.

use super::analysed::AnalysedModel;
use super::gradient_error::describe;
use super::head::{ClassifierHead, OutputActivation};
use super::layers::{Layer, Layout};
use super::program_io::io_names;
use super::seed::seed;
use onnx_gradient::backward::{Backward, backward};
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, data_type,
};

/// Writes the program for some layers: one forward pass gives the activations of all, one backward
/// pass their gradients.
///
/// # Errors
/// Why one of them has no gradient; [`forward`] still works then.
pub fn explain(analysed: &AnalysedModel, layers: &[&Layer]) -> Result<ModelProto, String> {
    if let Some(unsupported_reason) = &analysed.prepared.unsupported_reason {
        return Err(unsupported_reason.clone());
    }
    let AnalysedModel { facts, head, .. } = analysed;
    let graph_index = GraphIndex::new(analysed.graph());
    let (seed_nodes, seed_constants, seed) =
        seed(&graph_index, facts, head).map_err(|error| describe(&error))?;
    let targets: Vec<&str> = layers.iter().map(|layer| layer.tensor.as_str()).collect();
    let Backward { nodes, initializers, gradients } =
        backward(&graph_index, facts, &head.tensor, &targets, &seed, "camlens/gradient/")
            .map_err(|error| describe(&error))?;

    let mut model = forward(analysed, layers);
    let graph = model.graph.get_or_insert_default();
    let class_sizes = || ["K", "N"].map(|size| DimensionValue::Name(size.into()));
    graph.input.push(int64_input(io_names::TARGET, class_sizes()));
    graph.input.push(int64_input(io_names::CONTRAST, class_sizes()));
    graph.input.push(int64_input(io_names::GRADIENT_OF, [DimensionValue::Size(1)]));

    graph.initializer.extend(initializers);
    graph.initializer.extend(seed_constants);
    let next_condition = "camlens/condition/next";
    let mut body = GraphProto {
        name: Some("backward".into()),
        input: vec![int64_input(io_names::ITERATION, []), boolean_scalar(CONDITION)],
        output: vec![boolean_scalar(next_condition)],
        // The seed comes first: the backward pass reads it.
        node: [
            seed_nodes,
            nodes,
            vec![NodeProto::new("Identity", &[CONDITION], &[next_condition])],
        ]
        .concat(),
        ..GraphProto::default()
    };
    for (index, (layer, gradient)) in layers.iter().zip(&gradients).enumerate() {
        let maps = format!("camlens/maps/{index}");
        let (nodes, constants) = layer.layout.to_maps(layer.shape, gradient, &maps);
        graph.initializer.extend(constants);
        body.node.extend(nodes);
        body.output.push(float_tensor(&maps));
    }
    let outputs: Vec<String> = (0..layers.len()).map(io_names::gradient).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    graph.output.extend(outputs.iter().map(|output| float_tensor(output)));
    let (sizes, iterations) = ("camlens/target/sizes", "camlens/iterations");
    graph.initializer.push(TensorProto::int64(FIRST, &[], &[0]));
    graph.node.push(NodeProto::new("Shape", &[io_names::TARGET], &[sizes]));
    graph.node.push(NodeProto::new("Gather", &[sizes, FIRST], &[iterations]));
    graph.node.push(
        NodeProto::new("Loop", &[iterations, ""], &outputs)
            .with(AttributeProto::graph("body", body)),
    );
    Ok(model)
}

/// Writes the program of a forward pass: scores, probabilities and the activations of some layers.
#[must_use]
pub fn forward(analysed: &AnalysedModel, layers: &[&Layer]) -> ModelProto {
    let AnalysedModel { prepared, facts, head, .. } = analysed;
    let mut model = prepared.model.clone();
    let graph = model.graph.get_or_insert_default();
    // Without the model's own outputs, the runtime removes the nodes that only they need, such as
    // a softmax that would run twice.
    graph.output.clear();
    graph.initializer.push(TensorProto::int64(ROWS, &[2], &[-1, head.columns as i64]));
    // −y for a logit y, 1 − p for a probability p.
    let is_probability = head.output_activation == OutputActivation::Unknown;
    let negative_from = if is_probability { 1.0 } else { 0.0 };
    rows(graph, facts, head, head.scores(), negative_from, io_names::SCORES);
    if let Some(probabilities) = &head.probabilities {
        rows(graph, facts, head, probabilities, 1.0, io_names::PROBABILITIES);
    } else {
        let inputs = &[io_names::SCORES];
        graph.node.push(activation_node(head.output_activation, inputs, io_names::PROBABILITIES));
    }
    graph.output.push(float_tensor(io_names::SCORES));
    graph.output.push(float_tensor(io_names::PROBABILITIES));
    // A tail's layer is its input, which needs no output.
    for (index, layer) in
        layers.iter().enumerate().filter(|(_, layer)| layer.tensor != prepared.input.name)
    {
        let output = activation_output(facts, layer, index);
        if output != layer.tensor {
            let single =
                single_precision(graph, facts, &layer.tensor, &format!("camlens/layers/{index}"));
            let (nodes, constants) = layer.layout.to_maps(layer.shape, &single, &output);
            graph.node.extend(nodes);
            graph.initializer.extend(constants);
        }
        graph.output.push(float_tensor(&output));
    }
    model
}

/// Writes a tensor of the head as rows `[N, classes]`. A single column `y` becomes two:
/// `negative_from − y` and `y`.
fn rows(
    graph: &mut GraphProto,
    facts: &TensorFacts,
    head: &ClassifierHead,
    tensor: &str,
    negative_from: f32,
    output: &str,
) {
    let named = |what: &str| format!("{output}/{what}");
    let single = single_precision(graph, facts, tensor, &named("single"));
    if !head.is_binary() {
        graph.node.push(NodeProto::new("Reshape", &[&single, ROWS], &[output]));
        return;
    }
    let (positive, negative, from) = (named("positive"), named("negative"), named("from"));
    graph.node.push(NodeProto::new("Reshape", &[&single, ROWS], &[&positive]));
    graph.initializer.push(TensorProto::float32(&from, &[], &[negative_from]));
    graph.node.push(NodeProto::new("Sub", &[&from, &positive], &[&negative]));
    let both = NodeProto::new("Concat", &[&negative, &positive], &[output]);
    graph.node.push(both.with(AttributeProto::int("axis", 1)));
}

/// The node that makes probabilities of scores `[N, classes]`. Probabilities, and quantities that
/// have none, stay what they are.
fn activation_node(activation: OutputActivation, inputs: &[&str], output: &str) -> NodeProto {
    match activation {
        OutputActivation::Softmax => {
            NodeProto::new("Softmax", inputs, &[output]).with(AttributeProto::int("axis", 1))
        }
        OutputActivation::Sigmoid => NodeProto::new("Sigmoid", inputs, &[output]),
        OutputActivation::Other | OutputActivation::Unknown | OutputActivation::Identity => {
            NodeProto::new("Identity", inputs, &[output])
        }
    }
}

/// The output that holds the activation of the program's layer with this index: the layer's own
/// tensor where that is float32 maps. An `Identity` after it would do as well, but ONNX Runtime
/// 1.32 rejects a model in which an `Identity`, a `Pad` and the branch of an `If` read one tensor:
/// it removes the first two and forgets the third.
#[must_use]
pub fn activation_output(facts: &TensorFacts, layer: &Layer, index: usize) -> String {
    match layer.layout {
        Layout::Maps if facts.element_type(&layer.tensor) == data_type::FLOAT => {
            layer.tensor.clone()
        }
        _ => format!("camlens/activations/{index}"),
    }
}

/// The same program with these tensors of the graph as additional outputs.
#[must_use]
pub fn with_outputs(mut model: ModelProto, tensors: &[String]) -> ModelProto {
    let graph = model.graph.get_or_insert_default();
    for tensor in tensors {
        if !graph.output.iter().any(|output| output.name() == tensor) {
            graph.output.push(float_tensor(tensor));
        }
    }
    model
}

/// A tensor as float32: itself, or a cast of it that is called `name`.
fn single_precision(
    graph: &mut GraphProto,
    facts: &TensorFacts,
    tensor: &str,
    name: &str,
) -> String {
    if facts.element_type(tensor) == data_type::FLOAT {
        return tensor.to_owned();
    }
    let to_single = AttributeProto::int("to", i64::from(data_type::FLOAT));
    graph.node.push(NodeProto::new("Cast", &[tensor], &[name]).with(to_single));
    name.to_owned()
}

const ROWS: &str = "camlens/rows";
const FIRST: &str = "camlens/first";
/// The condition that the loop's body takes and returns unchanged.
const CONDITION: &str = "camlens/condition";

fn int64_input(name: &str, sizes: impl IntoIterator<Item = DimensionValue>) -> ValueInfoProto {
    let dimension = |size| Dimension { value: Some(size), denotation: None };
    let dim = sizes.into_iter().map(dimension).collect();
    typed(name, data_type::INT64, Some(TensorShapeProto { dim }))
}

fn boolean_scalar(name: &str) -> ValueInfoProto {
    typed(name, data_type::BOOL, Some(TensorShapeProto::default()))
}

/// A float output whose shape the runtime infers.
pub(crate) fn float_tensor(name: &str) -> ValueInfoProto {
    typed(name, data_type::FLOAT, None)
}

fn typed(name: &str, elem_type: i32, shape: Option<TensorShapeProto>) -> ValueInfoProto {
    let tensor = TensorType { elem_type: Some(elem_type), shape };
    ValueInfoProto {
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..ValueInfoProto::untyped(name)
    }
}
