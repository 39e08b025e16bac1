//! The graph that the engine runs: forward pass, activation and gradients in one.
//!
//! The backward pass is the body of a `Loop`, which goes round once for each class that a
//! run asks about: several classes share one forward pass, and a run that asks for none
//! pays for no backward pass. (Asking the runtime for fewer outputs would not skip
//! a node.) The body reads activations and weights of the forward graph where
//! they are. Which classes are explained is an input of every run.

use super::head::{ClassifierHead, OutputActivation};
use super::layers::{Layer, Layout};
use crate::graph::prepared::PreparedModel;
use onnx_gradient::Error;
use onnx_gradient::backward::{Backward, backward};
use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, data_type,
};

/// Names of what a program takes and gives.
pub mod names {
    /// Input, int64 `[K, N]`: for each gradient the class to explain, −1 for the predicted one.
    pub const TARGET: &str = "camlens/target";
    /// Input, int64 `[K, N]`: for each gradient the class whose score is taken off it, −1 for none.
    pub const CONTRAST: &str = "camlens/contrast";
    /// Input, int64 `[1]`: of which score the gradients are, a [`super::GradientOf`].
    pub const WANTED: &str = "camlens/wanted";
    /// Output, float `[N, classes]`: the scores; logits but for models that hide them.
    pub const SCORES: &str = "camlens/scores";
    /// Output, float `[N, classes]`: the probabilities.
    pub const PROBABILITIES: &str = "camlens/probabilities";

    /// Output, float `[K, N, C, h, w]`: ∂score/∂activation for the program's layer at this place;
    /// empty where K is 0.
    #[must_use]
    pub fn gradient(place: usize) -> String {
        format!("camlens/gradients/{place}")
    }
}

/// The gradient that a run is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientOf {
    /// None: a plain forward pass.
    Nothing = 0,
    /// Of the class's logit.
    Logit = 1,
    /// Of the class's probability.
    Probability = 2,
}

/// Writes the program for some layers: one forward pass gives the activations of all, one backward
/// pass the gradients.
///
/// # Errors
/// Why there can be no gradient for one of them; [`forward`] still works then.
pub fn explain(
    prepared: &PreparedModel,
    shapes: &TensorFacts,
    score: &ClassifierHead,
    layers: &[&Layer],
) -> Result<ModelProto, String> {
    if let Some(unsupported_reason) = &prepared.unsupported_reason {
        return Err(unsupported_reason.clone());
    }
    let graph_index = GraphIndex::new(prepared.graph());
    let (Backward { nodes, initializers, gradients }, constants) =
        gradient_of(&graph_index, shapes, score, layers)?;
    let mut model = forward(prepared, shapes, score, layers);
    let graph = model.graph.get_or_insert_default();
    let classes = || ["K", "N"].map(|size| DimensionValue::Name(size.into()));
    graph.input.push(int64_input(names::TARGET, classes()));
    graph.input.push(int64_input(names::CONTRAST, classes()));
    graph.input.push(int64_input(names::WANTED, [DimensionValue::Size(1)]));

    graph.initializer.extend(initializers);
    graph.initializer.extend(constants);
    let goes_on = "camlens/goes_on";
    let mut body = GraphProto {
        name: Some("backward".into()),
        input: vec![int64_input(ROUND, []), boolean(GOES_ON)],
        output: vec![boolean(goes_on)],
        node: [nodes, vec![NodeProto::new("Identity", &[GOES_ON], &[goes_on])]].concat(),
        ..GraphProto::default()
    };
    for (place, (layer, gradient)) in layers.iter().zip(&gradients).enumerate() {
        let maps = format!("camlens/maps/{place}");
        let (arranging, sizes) = layer.layout.to_maps(layer.shape, gradient, &maps);
        graph.initializer.extend(sizes);
        body.node.extend(arranging);
        body.output.push(float_tensor(&maps));
    }
    let outputs: Vec<String> = (0..layers.len()).map(names::gradient).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    graph.output.extend(outputs.iter().map(|output| float_tensor(output)));
    let (sizes, rounds) = ("camlens/target/sizes", "camlens/rounds");
    graph.initializer.push(TensorProto::int64(FIRST, &[], &[0]));
    graph.node.push(NodeProto::new("Shape", &[names::TARGET], &[sizes]));
    graph.node.push(NodeProto::new("Gather", &[sizes, FIRST], &[rounds]));
    graph.node.push(
        NodeProto::new("Loop", &[rounds, ""], &outputs).with(AttributeProto::graph("body", body)),
    );
    Ok(model)
}

/// Writes the program of a forward pass: scores, probabilities and the activations of some layers.
#[must_use]
pub fn forward(
    prepared: &PreparedModel,
    shapes: &TensorFacts,
    score: &ClassifierHead,
    layers: &[&Layer],
) -> ModelProto {
    let mut model = prepared.model.clone();
    let graph = model.graph.get_or_insert_default();
    // Not asked for, the model's own outputs fall away, and with them a softmax that would run
    // twice.
    graph.output.clear();
    graph.initializer.push(TensorProto::int64(ROWS, &[2], &[-1, score.columns as i64]));
    let single = single_precision(graph, shapes, &score.tensor, "camlens/score");
    if score.is_binary() {
        let (positive, negative) = ("camlens/score/positive", "camlens/score/negative");
        graph.node.push(NodeProto::new("Reshape", &[&single, ROWS], &[positive]));
        // −y for a logit; what is left of a probability.
        let constant = if score.output_activation == OutputActivation::Unknown { 1.0 } else { 0.0 };
        graph.initializer.push(TensorProto::float32("camlens/score/from", &[], &[constant]));
        graph.node.push(NodeProto::new("Sub", &["camlens/score/from", positive], &[negative]));
        let both = NodeProto::new("Concat", &[negative, positive], &[names::SCORES]);
        graph.node.push(both.with(AttributeProto::int("axis", 1)));
    } else {
        graph.node.push(NodeProto::new("Reshape", &[&single, ROWS], &[names::SCORES]));
    }
    let link = match score.output_activation {
        OutputActivation::Softmax => {
            NodeProto::new("Softmax", &[names::SCORES], &[names::PROBABILITIES])
                .with(AttributeProto::int("axis", 1))
        }
        OutputActivation::Sigmoid => {
            NodeProto::new("Sigmoid", &[names::SCORES], &[names::PROBABILITIES])
        }
        OutputActivation::Unknown => {
            NodeProto::new("Identity", &[names::SCORES], &[names::PROBABILITIES])
        }
    };
    graph.node.push(link);
    graph.output.push(float_tensor(names::SCORES));
    graph.output.push(float_tensor(names::PROBABILITIES));
    // A tail's own input needs no way out.
    for (place, layer) in
        layers.iter().enumerate().filter(|(_, layer)| layer.tensor != prepared.input.name)
    {
        let output = activation(shapes, layer, place);
        if output != layer.tensor {
            let single =
                single_precision(graph, shapes, &layer.tensor, &format!("camlens/layers/{place}"));
            let (nodes, constants) = layer.layout.to_maps(layer.shape, &single, &output);
            graph.node.extend(nodes);
            graph.initializer.extend(constants);
        }
        graph.output.push(float_tensor(&output));
    }
    model
}

/// The output that holds the activation of a program's layer at this place: the tensor itself where
/// it is maps in 32 bits. An `Identity` behind it would do as well, but ONNX Runtime 1.32 refuses a
/// model in which an `Identity`, a `Pad` and the branch of an `If` read one tensor: it drops the
/// first two and forgets the third.
#[must_use]
pub fn activation(shapes: &TensorFacts, layer: &Layer, place: usize) -> String {
    match layer.layout {
        Layout::Maps if shapes.element_type(&layer.tensor) == data_type::FLOAT => {
            layer.tensor.clone()
        }
        _ => format!("camlens/activations/{place}"),
    }
}

/// The same program, which gives these tensors of the graph, too, by their own names.
#[must_use]
pub fn carrying(mut model: ModelProto, tensors: &[String]) -> ModelProto {
    let graph = model.graph.get_or_insert_default();
    for tensor in tensors {
        if !graph.output.iter().any(|output| output.name() == tensor) {
            graph.output.push(float_tensor(tensor));
        }
    }
    model
}

/// A tensor in 32 bits: itself, or a cast of it that is called `name`.
fn single_precision(
    graph: &mut GraphProto,
    shapes: &TensorFacts,
    tensor: &str,
    name: &str,
) -> String {
    if shapes.element_type(tensor) == data_type::FLOAT {
        return tensor.to_owned();
    }
    let to_single = AttributeProto::int("to", i64::from(data_type::FLOAT));
    graph.node.push(NodeProto::new("Cast", &[tensor], &[name]).with(to_single));
    name.to_owned()
}

const ROWS: &str = "camlens/rows";
const FIRST: &str = "camlens/first";
/// Which of the gradients the loop is at.
const ROUND: &str = "camlens/round";
/// What a loop without a condition passes from round to round.
const GOES_ON: &str = "camlens/goes_on/before";

/// Why a layer has no gradient, if it has none.
///
/// # Errors
/// The sentence that names the operator and node in the way.
pub fn check(
    prepared: &PreparedModel,
    shapes: &TensorFacts,
    score: &ClassifierHead,
    layer: &Layer,
) -> Result<(), String> {
    if let Some(unsupported_reason) = &prepared.unsupported_reason {
        return Err(unsupported_reason.clone());
    }
    gradient_of(&GraphIndex::new(prepared.graph()), shapes, score, &[layer])?;
    if layer.places_count {
        return Ok(());
    }
    Err("behind it the score is made of the class token alone, so that its places have no gradient; \
         the last layer that has one is the normalisation before the last attention"
        .into())
}

/// The seed (the gradient at the score, by class and by what is wanted) and the backward pass from
/// it.
fn gradient_of(
    graph_index: &GraphIndex<'_>,
    shapes: &TensorFacts,
    score: &ClassifierHead,
    layers: &[&Layer],
) -> Result<(Backward, Vec<TensorProto>), String> {
    let (mut nodes, constants, seed) = seed(score);
    let targets: Vec<&str> = layers.iter().map(|layer| layer.tensor.as_str()).collect();
    let prefix = "camlens/gradient/";
    let mut backward = backward(graph_index, shapes, &score.tensor, &targets, &seed, prefix)
        .map_err(|error| describe(&error))?;
    // The seed's nodes come first: the rules' nodes read them.
    nodes.append(&mut backward.nodes);
    Ok((Backward { nodes, ..backward }, constants))
}

/// A gradient error as a sentence about a score and a layer.
fn describe(error: &Error) -> String {
    match error {
        Error::Unreachable { tensor, .. } => format!("the score does not depend on '{tensor}'"),
        Error::NoGradient { tensor, .. } => {
            format!("no gradient flows from the score to '{tensor}'")
        }
        Error::NoRuleForInput { .. } => format!("{error}, which depends on the layer"),
        _ => error.to_string(),
    }
}

/// One-hot for a logit; for a probability its own gradient with respect to the logits. With a
/// contrast, the difference of two such rows.
fn seed(score: &ClassifierHead) -> (Vec<NodeProto>, Vec<TensorProto>, String) {
    let classes = score.classes() as i64;
    let mut emit = GraphBuilder::sharing_constants("camlens/seed/");
    let zero = emit.int64(0);
    let predicted = emit.op_with(
        "ArgMax",
        &[names::SCORES],
        vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 0)],
    );
    let of_round = |emit: &mut GraphBuilder, classes: &str| emit.op("Gather", &[classes, ROUND]);
    let (asked, contrast) =
        (of_round(&mut emit, names::TARGET), of_round(&mut emit, names::CONTRAST));
    let is_unset = emit.op("Less", &[&asked, &zero]);
    let class = emit.op("Where", &[&is_unset, &predicted, &asked]);
    let every: Vec<i64> = (0..classes).collect();
    let every = emit.int64s(&every);
    // −1 is no class: its row has no 1, and so no gradient.
    let one_hot = |emit: &mut GraphBuilder, class: &str| {
        let column = emit.reshape(class, &[-1, 1]);
        let hit = emit.op("Equal", &[&column, &every]);
        emit.to_float(&hit)
    };
    let (target, contrast) = (one_hot(&mut emit, &class), one_hot(&mut emit, &contrast));
    let of_probability = |emit: &mut GraphBuilder, one_hot: &str| match score.output_activation {
        OutputActivation::Softmax => softmax_seed(emit, one_hot),
        OutputActivation::Sigmoid => sigmoid_seed(emit, one_hot),
        OutputActivation::Unknown => one_hot.to_owned(),
    };
    let logits = emit.sub(&target, &contrast);
    let (target, contrast) =
        (of_probability(&mut emit, &target), of_probability(&mut emit, &contrast));
    let probabilities = emit.sub(&target, &contrast);
    let probability = emit.int64(GradientOf::Probability as i64);
    let is_probability = emit.op("Equal", &[names::WANTED, &probability]);
    let rows = emit.op("Where", &[&is_probability, &probabilities, &logits]);
    let rows = if score.is_binary() {
        // What speaks for the negative class speaks against the one score that there is.
        let signs = emit.float32s(&[2, 1], &[-1.0, 1.0]);
        emit.op("MatMul", &[&rows, &signs])
    } else {
        rows
    };
    let seed = emit.reshape_like(&rows, &score.tensor);
    let (nodes, constants) = emit.finish();
    (nodes, constants, seed)
}

/// `p_c·(1_c − p)`. For the class itself 1 − p_c is taken as the sum of all others: where p_c is
/// nearly 1, the subtraction would leave only rounding.
fn softmax_seed(emit: &mut GraphBuilder, one_hot: &str) -> String {
    let chosen = emit.mul(one_hot, names::PROBABILITIES);
    let p = emit.reduce_sum(&chosen, &[1], true);
    let others = emit.sub(names::PROBABILITIES, &chosen);
    let rest = emit.reduce_sum(&others, &[1], true);
    let own = emit.mul(one_hot, &rest);
    let contrast = emit.sub(&own, &others);
    emit.mul(&p, &contrast)
}

/// `p_c·(1 − p_c)`, with 1 − σ(y) as σ(−y) for the same reason.
fn sigmoid_seed(emit: &mut GraphBuilder, one_hot: &str) -> String {
    let negative = emit.op("Neg", &[names::SCORES]);
    let rest = emit.op("Sigmoid", &[&negative]);
    let slope = emit.mul(names::PROBABILITIES, &rest);
    emit.mul(one_hot, &slope)
}

fn int64_input(name: &str, sizes: impl IntoIterator<Item = DimensionValue>) -> ValueInfoProto {
    let dimension = |size| Dimension { value: Some(size), denotation: None };
    let dim = sizes.into_iter().map(dimension).collect();
    typed(name, data_type::INT64, Some(TensorShapeProto { dim }))
}

/// A number that is true or false.
fn boolean(name: &str) -> ValueInfoProto {
    typed(name, data_type::BOOL, Some(TensorShapeProto::default()))
}

/// A float output whose shape the runtime finds.
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
