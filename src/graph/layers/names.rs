//! Layer names as the model's source code has them.
//!
//! A name comes, in this order, from the module scopes that torch's exporter notes, from the path
//! in the node's name, or from the name of the convolution's weight: `block5_conv3` in a Keras
//! export, `features.29` in one of torch. Names are unique, because the name in a response must
//! lead back to the layer; of a path as much is kept as that takes.

use std::collections::{HashMap, HashSet};

use super::Layer;
use onnx_gradient::proto::NodeProto;

/// The module that a node belongs to, where its exporter says so.
pub(super) fn module(node: &NodeProto) -> Option<String> {
    scope(node).or_else(|| path(node))
}

/// True for a name inside a module: `layer4.1.relu` in `layer4`.
pub(super) fn is_inside(name: &str, module: &str) -> bool {
    name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('/'))
}

/// The name of a layer from its first node to its last.
pub(super) fn friendly(last: &NodeProto, first: &NodeProto) -> String {
    module(last).or_else(|| weight(first)).unwrap_or_else(|| last.label().to_owned())
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

/// Gives layers that share a name names of their own: with the operator or a count appended, and
/// where that is not enough, with more of the path in the node's name. Other names stay.
pub(super) fn make_unique(layers: &mut [Layer]) {
    append_operators(layers);
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        match groups.iter_mut().find(|(name, _)| *name == layer.name) {
            Some((_, members)) => members.push(index),
            None => groups.push((layer.name.clone(), vec![index])),
        }
    }
    let (shared, alone): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(_, members)| members.len() > 1);
    let mut taken: HashSet<String> = alone.into_iter().map(|(name, _)| name).collect();
    for (name, members) in shared {
        let nodes: Vec<&str> = members.iter().map(|&index| layers[index].node.as_str()).collect();
        let names = distinct(&nodes, &taken).unwrap_or_else(|| counted(&name, nodes.len(), &taken));
        for (index, name) in members.into_iter().zip(names) {
            taken.insert(name.clone());
            layers[index].name = name;
        }
    }
}

/// Renames the layers that have one of these names and are not their owners. The names of a
/// manifest come before those that were found.
pub(super) fn make_way(layers: &mut [Layer], owners: &HashMap<&str, usize>) {
    for index in 0..layers.len() {
        if owners.get(layers[index].name.as_str()).is_none_or(|&owner| owner == index) {
            continue;
        }
        let taken: HashSet<String> = layers.iter().map(|layer| layer.name.clone()).collect();
        let layer = &mut layers[index];
        let names =
            distinct(&[&layer.node], &taken).unwrap_or_else(|| counted(&layer.name, 1, &taken));
        layer.name = names.concat();
    }
}

fn append_operators(layers: &mut [Layer]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter() {
        *count.entry(layer.name.clone()).or_default() += 1;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter_mut().filter(|layer| count[&layer.name] > 1) {
        let nth = seen.entry(layer.name.clone()).or_default();
        *nth += 1;
        let operator = operator(&layer.node);
        layer.name = match operator.is_empty() || operator == layer.name.to_lowercase() {
            true => format!("{}#{nth}", layer.name),
            false => format!("{}.{operator}", layer.name),
        };
    }
}

/// The last part of a node's name, which is its operator in most exports.
fn operator(node: &str) -> String {
    let operator = node.rsplit('/').next().unwrap_or_default().to_lowercase();
    // ONNX Runtime's quantiser appends this to the nodes it writes.
    operator.trim_end_matches("_quant").to_owned()
}

/// As much of each node's path as makes all of them distinct: first without the operators, then
/// with them.
fn distinct(nodes: &[&str], taken: &HashSet<String>) -> Option<Vec<String>> {
    let paths: Vec<Vec<&str>> = (nodes.iter())
        .map(|node| node.split('/').filter(|segment| !segment.is_empty()).collect())
        .collect();
    let longest = paths.iter().map(Vec::len).max()?;
    let lengths = |least: usize| (least..longest).map(|length| (length, false));
    let with_operators = (1..longest.max(2)).map(|length| (length, true));
    lengths(2).chain(with_operators).find_map(|(length, has_operator)| {
        let name = |path: &Vec<&str>| {
            let (operator, modules) = path.split_last()?;
            let module = modules[modules.len().saturating_sub(length)..].join("/");
            let operator = self::operator(operator);
            Some(match (module.is_empty(), has_operator) {
                (false, false) => module,
                (false, true) => format!("{module}.{operator}"),
                (true, _) => operator,
            })
        };
        let names: Vec<String> = paths.iter().map(name).collect::<Option<_>>()?;
        let unique: HashSet<&String> = names.iter().collect();
        let is_free = unique.len() == names.len() && names.iter().all(|name| !taken.contains(name));
        is_free.then_some(names)
    })
}

/// `name#1`, `name#2` and so on, without those that are taken.
fn counted(name: &str, count: usize, taken: &HashSet<String>) -> Vec<String> {
    let numbered = (1..).map(|nth| format!("{name}#{nth}"));
    numbered.filter(|name| !taken.contains(name)).take(count).collect()
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
