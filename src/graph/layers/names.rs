//! The names of layers, as people know them.
//!
//! A name comes, in this order, from torch's scope notes, from the node's path, or
//! from the name of the convolution's weight: `block5_conv3` in a Keras export,
//! `features.29` in torch's.

use std::collections::HashMap;

use super::Layer;
use onnx_gradient::proto::NodeProto;

/// The name of a layer that `first` begins and `last` ends.
pub(super) fn friendly(last: &NodeProto, first: &NodeProto) -> String {
    scope(last)
        .or_else(|| path(last))
        .or_else(|| weight(first))
        .unwrap_or_else(|| last.label().to_owned())
}

/// torch's dynamo exporter notes the module path on each node: `['', 'features', 'features.29',
/// 'relu_12']`.
fn scope(node: &NodeProto) -> Option<String> {
    let notes =
        node.metadata_props.iter().find(|entry| entry.key() == "pkg.torch.onnx.name_scopes")?;
    let names: Vec<&str> =
        notes.value().split('\'').skip(1).step_by(2).filter(|name| !name.is_empty()).collect();
    let [.., module, _operator] = names.as_slice() else { return None };
    Some((*module).to_owned())
}

/// `/features/features.29/Relu` and `model/block5_conv3/Relu`: the path without the operator at its
/// end.
fn path(node: &NodeProto) -> Option<String> {
    let name = node.name();
    let (module, _operator) = name.rsplit_once('/')?;
    let mut joined = String::new();
    let torch = name.starts_with('/');
    for part in module.split('/').filter(|part| !part.is_empty()) {
        if !torch || part.starts_with(&format!("{joined}.")) {
            // torch repeats the parent's name for numbered children; Keras's parents say nothing of
            // use.
            part.clone_into(&mut joined);
        } else {
            if !joined.is_empty() {
                joined.push('.');
            }
            joined.push_str(part);
        }
    }
    (!joined.is_empty()).then_some(joined)
}

/// Anonymous graphs still name their weights: `features.28.weight` speaks of `features.28`.
fn weight(node: &NodeProto) -> Option<String> {
    let weight = node.input_name(1)?;
    let module = [".weight", "_weight", ".w", "_w_0", "_W", "/kernel"]
        .iter()
        .find_map(|end| weight.strip_suffix(end))?;
    Some(module.to_owned())
}

/// Keras 3 counts how often a model was traced: `block1_conv1_1`. A suffix that all names share
/// says nothing.
pub(super) fn drop_common_suffix(layers: &mut [Layer]) {
    if layers.len() > 1 && layers.iter().all(|layer| layer.name.ends_with("_1")) {
        for layer in layers {
            layer.name.truncate(layer.name.len() - 2);
        }
    }
}

/// Two layers of one name would make the second unreachable: later ones say which node they are.
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
        // ONNX Runtime's quantiser marks what it has made.
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
        let of = |name: &str| path(&named(name, "Relu", &[], &[])).unwrap();
        assert_eq!(of("functional_1/block5_conv3_1/Relu"), "block5_conv3_1");
        assert_eq!(of("/features/features.29/Relu"), "features.29");
        assert_eq!(of("/layer4/layer4.2/relu_2/Relu"), "layer4.2.relu_2");
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
