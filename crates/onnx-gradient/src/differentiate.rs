//! Whole models: [`prepare`] one, then [`differentiate`] it.

use crate::backward::{Backward, backward};
use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::facts::TensorFacts;
use crate::index::{GraphIndex, find_name};
use crate::passes::constants::{constants_to_initializers, fold_identities};
use crate::passes::opset_upgrade::{self, OPSET};
use crate::passes::{decompose, inline_functions, qdq};
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};

/// Scope of the tensors that [`prepare`] adds.
const PREPARE_SCOPE: &str = "onnx_gradient/";
/// Prefix of the gradients that [`differentiate`] adds.
const GRADIENT_PREFIX: &str = "gradient/";
/// Prefix of the nodes that [`differentiate`] adds; no gradient has a name like theirs.
const NODE_PREFIX: &str = "gradient//";

/// The gradients to add to a model.
#[derive(Clone, Copy, Debug)]
pub struct Differentiate<'a> {
    /// The tensor to differentiate: an output of the model, or an inner tensor.
    pub of: &'a str,
    /// The tensors to differentiate by: inputs, initializers or inner tensors. Their order is that
    /// of the added outputs.
    pub with_respect_to: &'a [&'a str],
    /// The direction in which to differentiate an output with several elements.
    pub grad_output: GradOutput<'a>,
}

/// The gradient `∂L/∂y` of a scalar `L` with respect to the differentiated tensor `y`. It
/// determines the scalar whose gradients are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GradOutput<'a> {
    /// `L` is the sum of all elements of `y`; for a `y` with one element per image, that is the
    /// gradient of each image's own element.
    #[default]
    Ones,
    /// `L` is the sum of the elements `y[…, i]`: the score of class `i` for `y = [N, classes]`.
    Component(usize),
    /// `∂L/∂y` is a float32 input of this name, of the shape of `y`, which is added to the model. A
    /// one-hot row selects a class at run time.
    Input(&'a str),
}

/// The name of the output that [`differentiate`] adds for a tensor.
#[must_use]
pub fn gradient_name(tensor: &str) -> String {
    format!("{GRADIENT_PREFIX}{tensor}")
}

/// Rewrites a model into the form that can be differentiated; it computes the same outputs.
///
/// Model-local functions are inlined, opsets 7 to 17 are upgraded to 18, fused operators are
/// decomposed, and the integer operators of quantised models get float results. Weights are shared
/// with the original, not copied.
///
/// # Errors
/// [`Error::OpsetTooOld`], [`Error::Unsupported`] for a node that opset 18 cannot express, or
/// [`Error::NameTaken`] for names that begin with `onnx_gradient/`.
pub fn prepare(model: &ModelProto) -> Result<ModelProto, Error> {
    check_names(model, |name| name.starts_with(PREPARE_SCOPE))?;
    let mut model = model.clone();
    inline_functions::inline(&mut model);
    if let Some(graph) = &mut model.graph {
        constants_to_initializers(graph);
        fold_identities(graph);
    }
    opset_upgrade::upgrade(&mut model, PREPARE_SCOPE)?;
    decompose::decompose(&mut model);
    if let Some(graph) = &mut model.graph {
        // Decomposed branches of an `If` may bring further constants.
        constants_to_initializers(graph);
        qdq::expose_floats(graph);
    }
    Ok(model)
}

/// Adds gradients to a model as further outputs, called [`gradient_name`]`(tensor)` for each tensor
/// of [`Differentiate::with_respect_to`]. A gradient has the shape of its tensor and is float32, or
/// double where the tensor is.
///
/// The model must be one that [`prepare`] returned, and `facts` must be facts about that model. The
/// existing outputs stay; a run computes all outputs in one pass.
///
/// # Errors
/// Any [`Error`]; [`Error::OpsetTooOld`] for a model that was not prepared.
pub fn differentiate(
    model: &ModelProto,
    facts: &TensorFacts,
    request: &Differentiate<'_>,
) -> Result<ModelProto, Error> {
    let opset = opset_upgrade::opset(model);
    if opset < OPSET {
        return Err(Error::OpsetTooOld { opset, required: OPSET });
    }
    let added: Vec<String> =
        request.with_respect_to.iter().map(|tensor| gradient_name(tensor)).collect();
    check_names(model, |name| {
        let is_input = matches!(request.grad_output, GradOutput::Input(input) if input == name);
        name.starts_with(NODE_PREFIX) || is_input || added.iter().any(|added| added == name)
    })?;
    let mut model = model.clone();
    let graph = model.graph.get_or_insert_default();
    let (seed, backward) = backward_pass(graph, facts, request)?;
    graph.input.extend(seed.input);
    for (nodes, initializers) in
        [(seed.nodes, seed.initializers), (backward.nodes, backward.initializers)]
    {
        graph.node.extend(nodes);
        graph.initializer.extend(initializers);
    }
    for (gradient, tensor) in backward.gradients.iter().zip(request.with_respect_to) {
        let name = gradient_name(tensor);
        graph.node.push(NodeProto::new("Identity", &[gradient], &[&name]));
        let element = match facts.element_type(tensor) {
            data_type::DOUBLE => data_type::DOUBLE,
            _ => data_type::FLOAT,
        };
        graph.output.push(ValueInfoProto::typed(&name, element, None));
    }
    Ok(model)
}

/// Checks that a model has no name that would be added to it: a second definition would change what
/// reads the first.
fn check_names(model: &ModelProto, is_added: impl Fn(&str) -> bool) -> Result<(), Error> {
    let taken = model.graph.as_ref().and_then(|graph| find_name(graph, &is_added));
    taken.map_or(Ok(()), |name| Err(Error::NameTaken { name: name.to_owned() }))
}

/// The gradient of the differentiated tensor, and what it needs.
struct Seed {
    tensor: String,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    input: Option<ValueInfoProto>,
}

fn backward_pass(
    graph: &GraphProto,
    facts: &TensorFacts,
    request: &Differentiate<'_>,
) -> Result<(Seed, Backward), Error> {
    let graph_index = GraphIndex::new(graph);
    let tensors = request.with_respect_to.iter().chain([&request.of]);
    if let Some(unknown) = tensors.copied().find(|tensor| !graph_index.has(tensor)) {
        return Err(Error::UnknownTensor { tensor: unknown.to_owned() });
    }
    let seed = seed(graph, facts, request)?;
    let backward = backward(
        &graph_index,
        facts,
        request.of,
        request.with_respect_to,
        &seed.tensor,
        NODE_PREFIX,
    )?;
    Ok((seed, backward))
}

fn seed(
    graph: &GraphProto,
    facts: &TensorFacts,
    request: &Differentiate<'_>,
) -> Result<Seed, Error> {
    let mut builder = GraphBuilder::sharing_constants(format!("{NODE_PREFIX}seed/"));
    let mut input = None;
    let tensor = match request.grad_output {
        GradOutput::Ones => {
            let one = builder.scalar(1.0);
            builder.expand_like(&one, request.of)
        }
        GradOutput::Component(index) => {
            let unknown = || Error::UnknownShape { tensor: request.of.to_owned() };
            let size = facts.get(request.of).ok_or_else(unknown)?.last().copied().unwrap_or(0);
            let mut one_hot = vec![0.0; usize::try_from(size).unwrap_or(0)];
            *one_hot.get_mut(index).ok_or_else(|| Error::NoComponent {
                tensor: request.of.to_owned(),
                index,
                size,
            })? = 1.0;
            let one_hot = builder.float32s(&[size], &one_hot);
            builder.expand_like(&one_hot, request.of)
        }
        GradOutput::Input(name) => {
            let declared = graph.output.iter().find(|output| output.name() == request.of);
            let shape = declared.and_then(ValueInfoProto::tensor_shape).cloned();
            input = Some(ValueInfoProto::typed(name, data_type::FLOAT, shape));
            name.to_owned()
        }
    };
    let (nodes, initializers) = builder.finish();
    Ok(Seed { tensor, nodes, initializers, input })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::OperatorSetIdProto;

    /// `scores = relu(x) · w`, with `x` `[N, 3]` and `scores` `[N, 2]`.
    fn model() -> ModelProto {
        let graph = GraphProto {
            node: vec![
                NodeProto::new("Relu", &["x"], &["hidden"]),
                NodeProto::new("MatMul", &["hidden", "w"], &["scores"]),
                NodeProto::new("ArgMax", &["scores"], &["class"]),
            ],
            initializer: vec![TensorProto::float32("w", &[3, 2], &[1.0; 6])],
            input: vec![ValueInfoProto::float32("x", &[None, Some(3)])],
            output: vec![ValueInfoProto::float32("scores", &[None, Some(2)])],
            value_info: vec![ValueInfoProto::float32("hidden", &[None, Some(3)])],
            ..Default::default()
        };
        ModelProto {
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
            graph: Some(graph),
            ..Default::default()
        }
    }

    fn differentiated(
        of: &str,
        with_respect_to: &[&str],
        grad_output: GradOutput<'_>,
    ) -> Result<GraphProto, Error> {
        let model = prepare(&model())?;
        let request = Differentiate { of, with_respect_to, grad_output };
        let model = differentiate(&model, &TensorFacts::from_model(&model), &request)?;
        Ok(model.graph.unwrap_or_default())
    }

    #[test]
    fn gradients_become_outputs_in_the_order_of_the_request() {
        let graph = differentiated("scores", &["w", "x"], GradOutput::Ones).unwrap();
        let outputs: Vec<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
        assert_eq!(outputs, ["scores", "gradient/w", "gradient/x"]);
        assert_eq!(graph.input.len(), 1);
    }

    #[test]
    fn a_gradient_output_can_be_an_input_of_the_model() {
        let graph = differentiated("scores", &["x"], GradOutput::Input("direction")).unwrap();
        let sizes = graph.input[1].tensor().map(|(_, sizes)| sizes);
        assert_eq!((graph.input[1].name(), sizes), ("direction", Some(vec![None, Some(2)])));
    }

    /// Each of these would be defined twice in the result.
    #[test]
    fn a_name_that_would_be_added_is_refused() {
        for (taken, grad_output) in [
            ("gradient/x", GradOutput::Ones),
            ("gradient//seed/0", GradOutput::Ones),
            ("direction", GradOutput::Input("direction")),
        ] {
            let mut model = model();
            let graph = model.graph.get_or_insert_default();
            graph.node.push(NodeProto::new("Relu", &["x"], &[taken]));
            let facts = TensorFacts::from_model(&model);
            let request = Differentiate { of: "scores", with_respect_to: &["x"], grad_output };
            let error = differentiate(&model, &facts, &request).unwrap_err();
            assert_eq!(error, Error::NameTaken { name: taken.to_owned() });
        }
        let mut model = model();
        let inner = GraphProto {
            node: vec![NodeProto::new("Relu", &["x"], &["onnx_gradient/upgrade/y"])],
            ..Default::default()
        };
        let node = NodeProto::new("If", &["c"], &["y"])
            .with(crate::proto::AttributeProto::graph("then_branch", inner));
        model.graph.get_or_insert_default().node.push(node);
        let name = "onnx_gradient/upgrade/y".to_owned();
        assert_eq!(prepare(&model), Err(Error::NameTaken { name }));
    }

    #[test]
    fn requests_that_cannot_be_met_are_typed_errors() {
        let error =
            |of: &str, by: &str, grad_output| differentiated(of, &[by], grad_output).unwrap_err();
        let [scores, class, x, y] = ["scores", "class", "x", "y"].map(str::to_owned);
        assert_eq!(error("scores", "y", GradOutput::Ones), Error::UnknownTensor { tensor: y });
        assert_eq!(
            error("class", "x", GradOutput::Ones),
            Error::Unreachable { output: class, tensor: x }
        );
        assert_eq!(
            error("scores", "x", GradOutput::Component(2)),
            Error::NoComponent { tensor: scores, index: 2, size: 2 }
        );
    }
}
