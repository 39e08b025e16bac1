//! Layer names as the model's source code has them.
//!
//! A name comes, in this order, from the module scopes that torch's exporter notes, from the path
//! in the node's name, or from the name of the convolution's weight: `block5_conv3` in a Keras
//! export, `features.29` in one of torch.

use std::collections::HashMap;

use super::Layer;
use onnx_gradient::proto::NodeProto;

/// The name of a layer from its first node to its last.
pub(super) fn friendly(last: &NodeProto, first: &NodeProto) -> String {
    scope(last)
        .or_else(|| path(last))
        .or_else(|| weight(first))
        .unwrap_or_else(|| last.label().to_owned())
}

/// torch's dynamo exporter records the module scopes of each node: `['', 'features', 'features.29',
/// 'relu_12']`.
fn scope(node: &NodeProto) -> Option<String> {
    let scopes =
        node.metadata_props.iter().find(|entry| entry.key() == "pkg.torch.onnx.name_scopes")?;
    let names: Vec<&str> =
        scopes.value().split('\'').skip(1).step_by(2).filter(|name| !name.is_empty()).collect();
    let [.., module, _operator] = names.as_slice() else { return None };
    Some((*module).to_owned())
}

/// The path in a node's name without the operator at its end: `/features/features.29/Relu`,
/// `model/block5_conv3/Relu`.
fn path(node: &NodeProto) -> Option<String> {
    let name = node.name();
    let (module, _operator) = name.rsplit_once('/')?;
    let mut joined = String::new();
    let torch = name.starts_with('/');
    for segment in module.split('/').filter(|segment| !segment.is_empty()) {
        if !torch || segment.starts_with(&format!("{joined}.")) {
            // torch repeats the parent's name in numbered children; Keras's parent names carry no
            // information.
            segment.clone_into(&mut joined);
        } else {
            if !joined.is_empty() {
                joined.push('.');
            }
            joined.push_str(segment);
        }
    }
    (!joined.is_empty()).then_some(joined)
}

/// Exports with anonymous nodes still name their weights: `features.28.weight` belongs to
/// `features.28`.
fn weight(node: &NodeProto) -> Option<String> {
    let weight = node.input_name(1)?;
    let module = [".weight", "_weight", ".w", "_w_0", "_W", "/kernel"]
        .iter()
        .find_map(|end| weight.strip_suffix(end))?;
    Some(module.to_owned())
}

/// Keras 3 appends how often a model was traced: `block1_conv1_1`. Drops this suffix if all names
/// have it.
pub(super) fn drop_common_suffix(layers: &mut [Layer]) {
    if layers.len() > 1 && layers.iter().all(|layer| layer.name.ends_with("_1")) {
        for layer in layers {
            layer.name.truncate(layer.name.len() - 2);
        }
    }
}

/// Appends the operator or a count to names that several layers share, so that each can be
/// addressed.
pub(super) fn make_unique(layers: &mut [Layer]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter() {
        *count.entry(layer.name.clone()).or_default() += 1;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter_mut().filter(|layer| count[&layer.name] > 1) {
        let nth = seen.entry(layer.name.clone()).or_default();
        *nth += 1;
        let operator = layer.node.rsplit('/').next().unwrap_or_default().to_lowercase();
        // ONNX Runtime's quantiser appends this to the nodes it writes.
        let operator = operator.trim_end_matches("_quant");
        layer.name = match (*nth, operator.is_empty() || operator == layer.name.to_lowercase()) {
            (nth, true) => format!("{}#{nth}", layer.name),
            (_, false) => format!("{}.{operator}", layer.name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::StringStringEntryProto;

    fn named(name: &str, op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto { name: Some(name.into()), ..NodeProto::new(op, inputs, outputs) }
    }

    #[test]
    fn keras_and_torch_paths_become_layer_names() {
        let layer_name = |name: &str| path(&named(name, "Relu", &[], &[])).unwrap();
        assert_eq!(layer_name("functional_1/block5_conv3_1/Relu"), "block5_conv3_1");
        assert_eq!(layer_name("/features/features.29/Relu"), "features.29");
        assert_eq!(layer_name("/layer4/layer4.2/relu_2/Relu"), "layer4.2.relu_2");
    }

    #[test]
    fn dynamo_scopes_become_layer_names() {
        let mut node = named("node_relu_12", "Relu", &[], &[]);
        node.metadata_props.push(StringStringEntryProto {
            key: Some("pkg.torch.onnx.name_scopes".into()),
            value: Some("['', 'features', 'features.29', 'relu_12']".into()),
        });
        assert_eq!(scope(&node).as_deref(), Some("features.29"));
    }
}
