//! Constants as initializers: `Constant` nodes, and `Identity` nodes of initializers.

use std::collections::HashSet;

use crate::proto::{AttributeProto, GraphProto, TensorProto, attribute_type};

/// Turns `Constant` nodes into initializers.
pub fn constants_to_initializers(graph: &mut GraphProto) {
    let (constants, nodes) =
        std::mem::take(&mut graph.node).into_iter().partition(|node| node.is("Constant"));
    graph.node = nodes;
    for node in constants {
        let name = node.output.first().cloned().unwrap_or_default();
        match node.attribute.first().and_then(|attribute| constant(attribute, &name)) {
            Some(tensor) => graph.initializer.push(tensor),
            // Strings and sparse tensors stay nodes. They have no inputs, so they may come first.
            None => graph.node.insert(0, node),
        }
    }
}

/// Turns each `Identity` of an initializer into an initializer, which shares the bytes.
///
/// Exporters that store equal weights once write the other ones as `Identity`. As an initializer,
/// such a weight is recognisably independent of the model's inputs.
pub fn fold_identities(graph: &mut GraphProto) {
    let outputs: HashSet<String> =
        graph.output.iter().map(|output| output.name().to_owned()).collect();
    for node in std::mem::take(&mut graph.node) {
        let copy = node.output.first().filter(|output| !outputs.contains(*output));
        let original = node.input_name(0).filter(|_| node.is("Identity"));
        let tensor =
            original.and_then(|name| graph.initializer.iter().find(|tensor| tensor.name() == name));
        match (tensor.cloned(), copy) {
            (Some(tensor), Some(copy)) => {
                graph.initializer.push(TensorProto { name: Some(copy.clone()), ..tensor });
            }
            _ => graph.node.push(node),
        }
    }
}

/// The tensor that an attribute of a `Constant` node holds.
fn constant(attribute: &AttributeProto, name: &str) -> Option<TensorProto> {
    match (attribute.name(), attribute.r#type()) {
        ("value", _) => Some(TensorProto { name: Some(name.to_owned()), ..attribute.t.clone()? }),
        ("value_int", _) => Some(TensorProto::int64(name, &[], &[attribute.i()])),
        ("value_ints", _) => {
            Some(TensorProto::int64(name, &[attribute.ints.len() as i64], &attribute.ints))
        }
        ("value_float", attribute_type::FLOAT) => {
            Some(TensorProto::float32(name, &[], &[attribute.f()]))
        }
        ("value_floats", _) => {
            Some(TensorProto::float32(name, &[attribute.floats.len() as i64], &attribute.floats))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{NodeProto, ValueInfoProto};

    #[test]
    fn the_identity_of_a_constant_becomes_a_constant_unless_it_is_an_output() {
        let mut graph = GraphProto {
            node: vec![
                NodeProto::new("Identity", &["b1"], &["b2"]),
                NodeProto::new("Identity", &["b2"], &["b3"]),
                NodeProto::new("Add", &["x", "b3"], &["y"]),
                NodeProto::new("Identity", &["b1"], &["output"]),
            ],
            initializer: vec![TensorProto::float32("b1", &[1], &[2.0])],
            output: vec![ValueInfoProto::untyped("y"), ValueInfoProto::untyped("output")],
            ..Default::default()
        };
        fold_identities(&mut graph);
        let ops: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Add", "Identity"]);
        let names: Vec<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        assert_eq!(names, ["b1", "b2", "b3"]);
        assert_eq!(graph.initializer[2].to_float32s(), Some(vec![2.0]));
    }
}
