//! Inlines model-local functions.
//!
//! An exporter may put part of a network into a function and call it by name. The vjps cover
//! standard operators, so each call is replaced by the nodes of its function: inputs and outputs
//! take the names of the call's, and inner tensors get names of their own. A call that cannot be
//! inlined stays as it is, and a runtime still executes it.

use std::collections::HashMap;

use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
};

/// Calls nested deeper than this are taken for recursion.
const MAX_DEPTH: usize = 16;
/// No classifier has more nodes. The limit keeps functions that double at each level from
/// exhausting the memory.
const MAX_NODES: usize = 200_000;

/// Replaces the calls of model-local functions by the nodes of the functions.
pub fn inline(model: &mut ModelProto) {
    let Some(graph) = model.graph.as_mut().filter(|_| !model.functions.is_empty()) else { return };
    let versions: HashMap<&str, i64> = model
        .opset_import
        .iter()
        .map(|import| (domain(import.domain()), import.version()))
        .collect();
    let mut missing = Vec::new();
    let mut known: HashMap<(&str, &str, &str), &FunctionProto> = HashMap::new();
    for function in &model.functions {
        // The inlined nodes belong to the graph's opsets, so a function in another opset could
        // change its meaning.
        let agrees = function.opset_import.iter().all(|import| {
            versions.get(domain(import.domain())).is_none_or(|&version| version == import.version())
        });
        if agrees {
            known.insert(
                (domain(function.domain()), function.name(), function.overload()),
                function,
            );
            let is_missing =
                |import: &&OperatorSetIdProto| !versions.contains_key(domain(import.domain()));
            missing.extend(function.opset_import.iter().filter(is_missing).cloned());
        }
    }
    for _ in 0..MAX_DEPTH {
        let called = |node: &NodeProto| {
            known.get(&(domain(node.domain()), node.op(), node.overload())).copied()
        };
        let size = |node: &NodeProto| {
            called(node).map_or(1, |function| function.node.len() + function.output.len())
        };
        let grown: usize = graph.node.iter().map(size).sum();
        if !graph.node.iter().any(|node| called(node).is_some()) || grown > MAX_NODES {
            break;
        }
        graph.node = std::mem::take(&mut graph.node)
            .into_iter()
            .flat_map(|node| match called(&node) {
                Some(function) => body(&node, function),
                None => vec![node],
            })
            .collect();
    }
    for import in missing {
        if !model.opset_import.iter().any(|other| other.domain() == import.domain()) {
            model.opset_import.push(import);
        }
    }
}

/// The domain of the standard operators has two names.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// The nodes of a function for one call.
fn body(call: &NodeProto, function: &FunctionProto) -> Vec<NodeProto> {
    // Two nodes may share a name, but no two nodes have the same output.
    let call_name =
        call.output.iter().find(|name| !name.is_empty()).map_or(call.label(), String::as_str);
    let own = |name: &str| format!("{call_name}/{}/{name}", function.name());
    let mut names: HashMap<&str, String> = HashMap::new();
    // An input that the call omits is omitted inside, too.
    for (index, formal) in function.input.iter().enumerate() {
        names.insert(formal, call.input.get(index).cloned().unwrap_or_default());
    }
    let mut copies = Vec::new();
    for (index, formal) in function.output.iter().enumerate() {
        let Some(actual) = call.output.get(index).filter(|actual| !actual.is_empty()) else {
            continue;
        };
        // An output that is also an input, or the same tensor as another output, becomes a copy.
        if let Some(taken) = names.get(formal.as_str()) {
            copies.push(NodeProto::new("Identity", &[taken], &[actual]));
        } else {
            names.insert(formal, actual.clone());
        }
    }
    let rename = |name: &str| match names.get(name) {
        _ if name.is_empty() => String::new(),
        Some(actual) => actual.clone(),
        None => own(name),
    };
    let instance = Instance { call, function, rename: &rename };
    function.node.iter().map(|node| instance.node(node)).chain(copies).collect()
}

/// One call of a function.
struct Instance<'a> {
    call: &'a NodeProto,
    function: &'a FunctionProto,
    rename: &'a dyn Fn(&str) -> String,
}

impl Instance<'_> {
    fn node(&self, node: &NodeProto) -> NodeProto {
        let renamed = |names: &[String]| names.iter().map(|name| (self.rename)(name)).collect();
        NodeProto {
            name: node.name.as_deref().map(self.rename),
            input: renamed(&node.input),
            output: renamed(&node.output),
            attribute: node
                .attribute
                .iter()
                .filter_map(|attribute| self.attribute(attribute))
                .collect(),
            ..node.clone()
        }
    }

    /// An attribute of an inner node. Where it refers to an attribute of the function, the value is
    /// the call's, or else the function's default; `None` when there is neither.
    fn attribute(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        let mut value = match attribute.ref_attr_name() {
            "" => attribute.clone(),
            reference => {
                let default =
                    || self.function.attribute_proto.iter().find(|value| value.name() == reference);
                let found = self.call.attribute(reference).or_else(default)?;
                AttributeProto { name: attribute.name.clone(), ..found.clone() }
            }
        };
        for graph in value.g.iter_mut().chain(&mut value.graphs) {
            self.graph(graph);
        }
        Some(value)
    }

    /// Renames the tensors of a sub-graph, its own and captured ones alike.
    fn graph(&self, graph: &mut GraphProto) {
        graph.node = graph.node.iter().map(|node| self.node(node)).collect();
        for tensor in &mut graph.initializer {
            tensor.name = Some((self.rename)(tensor.name()));
        }
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            value.name = Some((self.rename)(value.name()));
        }
        graph.value_info.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::OperatorSetIdProto;

    fn function(
        name: &str,
        input: &[&str],
        output: &[&str],
        node: Vec<NodeProto>,
    ) -> FunctionProto {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        FunctionProto {
            name: Some(name.into()),
            domain: Some("local".into()),
            input: strings(input),
            output: strings(output),
            node,
            opset_import: vec![OperatorSetIdProto {
                domain: Some("ai.onnx".into()),
                version: Some(18),
            }],
            ..Default::default()
        }
    }

    fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto { domain: Some("local".into()), ..NodeProto::new(name, inputs, outputs) }
    }

    fn model(functions: Vec<FunctionProto>, node: Vec<NodeProto>) -> ModelProto {
        ModelProto {
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
            graph: Some(GraphProto { node, ..Default::default() }),
            functions,
            ..Default::default()
        }
    }

    fn nodes(model: &ModelProto) -> Vec<(&str, &[String], &[String])> {
        let graph = model.graph.as_ref().unwrap();
        graph
            .node
            .iter()
            .map(|node| (node.op(), node.input.as_slice(), node.output.as_slice()))
            .collect()
    }

    #[test]
    fn calls_become_nodes_with_unique_tensor_names() {
        let inner = function(
            "Gate",
            &["a"],
            &["b"],
            vec![
                NodeProto::new("Sigmoid", &["a"], &["s"]),
                NodeProto::new("Mul", &["a", "s"], &["b"]),
            ],
        );
        let outer = function(
            "Both",
            &["a", "bias"],
            &["c"],
            vec![call("Gate", &["a"], &["g"]), NodeProto::new("Clip", &["g", "bias"], &["c"])],
        );
        let mut model = model(
            vec![inner, outer],
            vec![call("Both", &["x"], &["y"]), call("Gate", &["y"], &["z"])],
        );
        inline(&mut model);
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            nodes(&model),
            [
                ("Sigmoid", owned(&["x"]).as_slice(), owned(&["y/Both/g/Gate/s"]).as_slice()),
                (
                    "Mul",
                    owned(&["x", "y/Both/g/Gate/s"]).as_slice(),
                    owned(&["y/Both/g"]).as_slice()
                ),
                // The call omits the bias.
                ("Clip", owned(&["y/Both/g", ""]).as_slice(), owned(&["y"]).as_slice()),
                ("Sigmoid", owned(&["y"]).as_slice(), owned(&["z/Gate/s"]).as_slice()),
                ("Mul", owned(&["y", "z/Gate/s"]).as_slice(), owned(&["z"]).as_slice()),
            ]
        );
    }

    #[test]
    fn attributes_come_from_the_call_or_else_from_the_function() {
        let refers = |name: &str| AttributeProto {
            name: Some(name.into()),
            ref_attr_name: Some(name.into()),
            ..Default::default()
        };
        let node = NodeProto::new("Elu", &["a"], &["b"]).with(refers("alpha")).with(refers("beta"));
        let mut elu = function("E", &["a"], &["b"], vec![node]);
        elu.attribute_proto.push(AttributeProto::float("alpha", 0.5));
        let given = call("E", &["x"], &["y"]).with(AttributeProto::float("alpha", 2.0));
        let mut model = model(vec![elu], vec![given, call("E", &["y"], &["z"])]);
        inline(&mut model);
        let graph = model.graph.unwrap();
        assert_eq!(graph.node[0].float("alpha", 0.0), 2.0);
        assert_eq!(graph.node[1].float("alpha", 0.0), 0.5);
        assert!(graph.node[0].attribute("beta").is_none());
    }

    #[test]
    fn a_recursive_function_stays_a_call() {
        let recursive =
            function("Recursive", &["a"], &["b"], vec![call("Recursive", &["a"], &["b"])]);
        let mut model = model(vec![recursive], vec![call("Recursive", &["x"], &["y"])]);
        inline(&mut model);
        assert_eq!(nodes(&model).len(), 1);
    }

    #[test]
    fn a_function_in_another_opset_stays_a_call() {
        let mut old = function("Old", &["a"], &["b"], vec![NodeProto::new("Relu", &["a"], &["b"])]);
        old.opset_import[0].version = Some(9);
        let mut model = model(vec![old], vec![call("Old", &["x"], &["y"])]);
        inline(&mut model);
        assert_eq!(nodes(&model)[0].0, "Old");
    }
}
