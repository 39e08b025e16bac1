//! The gradient at the scores, which the backward pass starts from.
//!
//! It is one-hot for a logit, and the gradient with respect to the logits for a probability. With a
//! contrast it is the difference of two such rows. Which of them a run needs is an input of the
//! program, so one program serves both.

use onnx_gradient::Error;
use onnx_gradient::backward::{Backward, backward};
use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::facts::TensorFacts;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

use super::head::{ClassifierHead, OutputActivation};
use super::program_io::{GradientOf, io_names};

/// The gradient at the head's tensor: nodes, constants and the name of the result.
///
/// # Errors
/// An operator between the head's tensor and the scores or probabilities has no vjp.
pub(super) fn seed(
    graph_index: &GraphIndex<'_>,
    facts: &TensorFacts,
    head: &ClassifierHead,
) -> Result<(Vec<NodeProto>, Vec<TensorProto>, String), Error> {
    let mut builder = GraphBuilder::sharing_constants("camlens/seed/");
    let [target, contrast] = one_hot_rows(&mut builder, head);
    let logits = builder.sub(&target, &contrast);
    let probability = builder.int64(GradientOf::Probability as i64);
    let is_probability = builder.op("Equal", &[io_names::GRADIENT_OF, &probability]);
    if let Some(probabilities) = head.differentiated_probabilities() {
        let zero = builder.scalar(0.0);
        let rows = [
            (head.scores(), builder.op("Where", &[&is_probability, &zero, &logits])),
            (probabilities, builder.op("Where", &[&is_probability, &logits, &zero])),
        ];
        let rows = rows.map(|(tensor, rows)| {
            let rows = signed(&mut builder, head, &rows);
            (tensor, builder.reshape_like(&rows, tensor))
        });
        return through_graph(graph_index, facts, head, builder, rows);
    }
    let of_probability = |builder: &mut GraphBuilder, one_hot: &str| match head.output_activation {
        OutputActivation::Softmax => softmax_seed(builder, head, one_hot),
        OutputActivation::Sigmoid => sigmoid_seed(builder, one_hot),
        OutputActivation::Other | OutputActivation::Unknown | OutputActivation::Identity => {
            one_hot.to_owned()
        }
    };
    let (target, contrast) =
        (of_probability(&mut builder, &target), of_probability(&mut builder, &contrast));
    let probabilities = builder.sub(&target, &contrast);
    let rows = builder.op("Where", &[&is_probability, &probabilities, &logits]);
    let rows = signed(&mut builder, head, &rows);
    let seed = builder.reshape_like(&rows, &head.tensor);
    let (nodes, constants) = builder.finish();
    Ok((nodes, constants, seed))
}

/// The rows `[N, classes]` that select the target's score and the contrast's. −1 selects no class:
/// its row is zero, and so is its gradient.
fn one_hot_rows(builder: &mut GraphBuilder, head: &ClassifierHead) -> [String; 2] {
    let zero = builder.int64(0);
    let predicted = builder.op_with(
        "ArgMax",
        &[io_names::SCORES],
        vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 0)],
    );
    let requested = builder.op("Gather", &[io_names::TARGET, io_names::ITERATION]);
    let contrast = builder.op("Gather", &[io_names::CONTRAST, io_names::ITERATION]);
    let is_unset = builder.op("Less", &[&requested, &zero]);
    let class = builder.op("Where", &[&is_unset, &predicted, &requested]);
    let all_classes: Vec<i64> = (0..head.classes() as i64).collect();
    let all_classes = builder.int64s(&all_classes);
    [class, contrast].map(|class| {
        let column = builder.reshape(&class, &[-1, 1]);
        let hit = builder.op("Equal", &[&column, &all_classes]);
        builder.to_float(&hit)
    })
}

/// The gradient by the single score of a binary classifier: the negative class's score is the
/// positive one's negative. Other rows stay what they are.
fn signed(builder: &mut GraphBuilder, head: &ClassifierHead, rows: &str) -> String {
    if !head.is_binary() {
        return rows.to_owned();
    }
    let signs = builder.float32s(&[2, 1], &[-1.0, 1.0]);
    builder.op("MatMul", &[rows, &signs])
}

/// The gradient at the head's tensor of scores and of probabilities that the graph computes from
/// it. `rows` holds each tensor with the gradient at it, of which one is zero.
fn through_graph(
    graph_index: &GraphIndex<'_>,
    facts: &TensorFacts,
    head: &ClassifierHead,
    builder: GraphBuilder,
    rows: [(&str, String); 2],
) -> Result<(Vec<NodeProto>, Vec<TensorProto>, String), Error> {
    let (mut nodes, mut constants) = builder.finish();
    let mut gradients = Vec::new();
    for (index, (tensor, gradient)) in rows.into_iter().enumerate() {
        if tensor == head.tensor {
            gradients.push(gradient);
            continue;
        }
        let prefix = format!("camlens/seed/from/{index}/");
        let target = [head.tensor.as_str()];
        let found: Backward = backward(graph_index, facts, tensor, &target, &gradient, &prefix)?;
        nodes.extend(found.nodes);
        constants.extend(found.initializers);
        gradients.extend(found.gradients);
    }
    let gradients: Vec<&str> = gradients.iter().map(String::as_str).collect();
    let sum = "camlens/seed/sum";
    nodes.push(NodeProto::new("Add", &gradients, &[sum]));
    Ok((nodes, constants, sum.to_owned()))
}

/// `p_c·(1_c − p)`. For the class itself, 1 − p_c is computed as the sum of the other
/// probabilities: where p_c is nearly 1, the subtraction would leave only rounding errors.
fn softmax_seed(builder: &mut GraphBuilder, head: &ClassifierHead, one_hot: &str) -> String {
    // Probabilities that the model has rounded do not say how far from 0 and 1 they are.
    let probabilities = match head.probabilities {
        None => io_names::PROBABILITIES.to_owned(),
        Some(_) => {
            builder.op_with("Softmax", &[io_names::SCORES], [AttributeProto::int("axis", 1)])
        }
    };
    let chosen = builder.mul(one_hot, &probabilities);
    let p = builder.reduce_sum(&chosen, &[1], true);
    let others = builder.sub(&probabilities, &chosen);
    let complement = builder.reduce_sum(&others, &[1], true);
    let own = builder.mul(one_hot, &complement);
    let contrast = builder.sub(&own, &others);
    builder.mul(&p, &contrast)
}

/// `p_c·(1 − p_c)`, with 1 − σ(y) computed as σ(−y) for the same reason.
fn sigmoid_seed(builder: &mut GraphBuilder, one_hot: &str) -> String {
    let probabilities = builder.op("Sigmoid", &[io_names::SCORES]);
    let negative = builder.op("Neg", &[io_names::SCORES]);
    let complement = builder.op("Sigmoid", &[&negative]);
    let slope = builder.mul(&probabilities, &complement);
    builder.mul(one_hot, &slope)
}
