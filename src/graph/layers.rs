//! Finding the layers that can be explained, and giving them the names people know.
//!
//! A layer is a tensor `[N, C, H, W]` that a person would point at: the output of
//! a convolution after its normalisation and activation (the papers' `A`), of a
//! pooling, of a residual sum, of a concatenation. Its name comes, in this order,
//! from torch's scope notes, from the node's path, or from the name of the
//! convolution's weight: `block5_conv3` in a Keras export, `features.29` in torch's.

use std::collections::{HashMap, HashSet};

use super::probe::Shapes;
use super::proto::{GraphProto, NodeProto};
use super::topology::Topology;

/// A tensor that can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The friendly name.
    pub name: String,
    /// The name of the tensor in the ONNX file.
    pub tensor: String,
    /// The name of the node that makes it.
    pub node: String,
    /// `[C, h, w]` for the model's own input size.
    pub shape: [usize; 3],
    /// True for the output of a pooling.
    pub is_pooled: bool,
}

/// Finds the layers between the input and `score`, in the order in which they are computed.
#[must_use]
pub fn find(graph: &GraphProto, shapes: &Shapes, score: &str) -> Vec<Layer> {
    let topology = Topology::new(graph);
    let upstream = topology.ancestors(score);
    let input = graph.input.first().map_or("", |input| input.name());
    let of_image = topology.dependents(input, |_| false);
    // Windows of attention stand where the images stand: their maps are no maps of an image.
    let images = shapes.get(input).map(|sizes| sizes[0]);
    let has_batch =
        |tensor: &str| images.is_none_or(|images| shapes.get(tensor).is_some_and(|s| s[0] == images));
    let mut seen = HashSet::new();
    let mut found: Vec<(usize, Layer)> = Vec::new();
    for node in graph.node.iter().filter(|node| node.is_standard()) {
        if !starts_layer(node, &of_image) {
            continue;
        }
        let Some(first) = node.output.first() else { continue };
        let end = follow(&topology, first);
        let Some(shape) = spatial(shapes, end) else { continue };
        if !upstream.contains(end) || !has_batch(end) || end == score || !seen.insert(end) {
            continue;
        }
        let last = topology.producer(end).unwrap_or(node);
        let layer = Layer {
            name: friendly(last, node),
            tensor: end.to_owned(),
            node: last.label().to_owned(),
            shape,
            is_pooled: last.op().ends_with("Pool"),
        };
        found.push((topology.position(end).unwrap_or(0), layer));
    }
    found.sort_by_key(|(position, _)| *position);
    let mut layers: Vec<Layer> = found.into_iter().map(|(_, layer)| layer).collect();
    drop_common_suffix(&mut layers);
    make_unique(&mut layers);
    layers
}

/// `[C, h, w]` of a tensor that has a map to show: four dimensions, more than one place.
#[must_use]
pub fn spatial(shapes: &Shapes, tensor: &str) -> Option<[usize; 3]> {
    match shapes.get(tensor)? {
        &[_, c, h, w] if c > 0 && h > 0 && w > 0 && h * w > 1 => Some([c as usize, h as usize, w as usize]),
        _ => None,
    }
}

fn starts_layer(node: &NodeProto, of_image: &HashSet<&str>) -> bool {
    match node.op() {
        "Conv" | "MaxPool" | "AveragePool" | "Concat" => true,
        // A residual sum joins two tensors made of the image; a bias, which may be computed, is not.
        "Add" | "Sum" => {
            node.input.len() > 1 && node.input.iter().all(|input| of_image.contains(input.as_str()))
        }
        _ => false,
    }
}

/// Follows a tensor through its normalisation to behind its activation.
fn follow<'g>(topology: &Topology<'g>, tensor: &'g str) -> &'g str {
    let mut tensor = tensor;
    loop {
        let Some(reader) = topology.only_reader(tensor) else {
            return gated(topology, tensor).unwrap_or(tensor);
        };
        let Some(output) = reader.output.first() else { return tensor };
        match reader.op() {
            "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "Identity"
            | "Dropout" => {
                tensor = output;
            }
            "Add" | "Mul" | "Sub" | "Div"
                if reader.input.iter().any(|input| input != tensor && topology.constant(input).is_some()) =>
            {
                tensor = output;
            }
            "Relu" | "LeakyRelu" | "PRelu" | "Clip" | "Elu" | "Selu" | "Celu" | "HardSwish" | "Gelu"
            | "Mish" | "Softplus" | "Tanh" => return output,
            _ => return tensor,
        }
    }
}

/// SiLU, HardSwish and Mish as exporters write them: `x · f(x)`, so that `x` has two readers.
fn gated<'g>(topology: &Topology<'g>, tensor: &'g str) -> Option<&'g str> {
    let readers: Vec<_> = topology.readers(tensor).collect();
    let [first, second] = readers.as_slice() else { return None };
    let (gate, product) = if second.op() == "Mul" { (first, second) } else { (second, first) };
    if product.op() != "Mul" {
        return None;
    }
    let mut end = gate.output.first()?.as_str();
    // The gate may be a chain: Softplus → Tanh in Mish, Add → Clip → Div in HardSwish.
    for _ in 0..4 {
        let reader = topology.only_reader(end)?;
        if std::ptr::eq(reader, *product) {
            return product.output.first().map(String::as_str);
        }
        end = reader.output.first()?;
    }
    None
}

fn friendly(last: &NodeProto, first: &NodeProto) -> String {
    scope(last).or_else(|| path(last)).or_else(|| weight(first)).unwrap_or_else(|| last.label().to_owned())
}

/// torch's dynamo exporter notes the module path on each node: `['', 'features', 'features.29', 'relu_12']`.
fn scope(node: &NodeProto) -> Option<String> {
    let notes = node.metadata_props.iter().find(|entry| entry.key() == "pkg.torch.onnx.name_scopes")?;
    let names: Vec<&str> =
        notes.value().split('\'').skip(1).step_by(2).filter(|name| !name.is_empty()).collect();
    let [.., module, _operator] = names.as_slice() else { return None };
    Some((*module).to_owned())
}

/// `/features/features.29/Relu` and `model/block5_conv3/Relu`: the path without the operator at its end.
fn path(node: &NodeProto) -> Option<String> {
    let name = node.name();
    let (module, _operator) = name.rsplit_once('/')?;
    let mut joined = String::new();
    let torch = name.starts_with('/');
    for part in module.split('/').filter(|part| !part.is_empty()) {
        if !torch || part.starts_with(&format!("{joined}.")) {
            // torch repeats the parent's name for numbered children; Keras's parents say nothing of use.
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

/// Keras 3 counts how often a model was traced: `block1_conv1_1`. A suffix that all names share says nothing.
fn drop_common_suffix(layers: &mut [Layer]) {
    if layers.len() > 1 && layers.iter().all(|layer| layer.name.ends_with("_1")) {
        for layer in layers {
            layer.name.truncate(layer.name.len() - 2);
        }
    }
}

/// Two layers of one name would make the second unreachable: later ones say which node they are.
fn make_unique(layers: &mut [Layer]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter() {
        *count.entry(layer.name.clone()).or_default() += 1;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter_mut().filter(|layer| count[&layer.name] > 1) {
        let nth = seen.entry(layer.name.clone()).or_default();
        *nth += 1;
        let operator = layer.node.rsplit('/').next().unwrap_or_default().to_lowercase();
        layer.name = match (*nth, operator.is_empty() || operator == layer.name.to_lowercase()) {
            (nth, true) => format!("{}#{nth}", layer.name),
            (_, false) => format!("{}.{operator}", layer.name),
        };
    }
}

/// Gives a layer the name that the manifest has for it; `target` is a node or a tensor, of any layer or none.
///
/// # Errors
/// The sentence that says that there is no such layer.
pub fn name(
    layers: &mut Vec<Layer>,
    graph: &GraphProto,
    shapes: &Shapes,
    alias: &str,
    target: &str,
) -> Result<(), String> {
    if let Some(known) = layers
        .iter_mut()
        .find(|layer| [&layer.name, &layer.tensor, &layer.node].contains(&&target.to_owned()))
    {
        alias.clone_into(&mut known.name);
        return Ok(());
    }
    let makes =
        |node: &&NodeProto| node.name() == target || node.output.iter().any(|output| output == target);
    let node = graph.node.iter().find(makes);
    let tensor =
        node.and_then(|node| node.output.iter().find(|output| *output == target).or(node.output.first()));
    let found = node.zip(tensor).and_then(|(node, tensor)| Some((node, tensor, spatial(shapes, tensor)?)));
    let Some((node, tensor, shape)) = found else {
        return Err(format!(
            "layers.{alias}: the model has no node or tensor '{target}' of shape [N, C, H, W]"
        ));
    };
    layers.push(Layer {
        name: alias.to_owned(),
        tensor: tensor.clone(),
        node: node.label().to_owned(),
        shape,
        is_pooled: node.op().ends_with("Pool"),
    });
    Ok(())
}

/// Finds the layer that a person means: a friendly name, an alias of the manifest, a node, a tensor,
/// or a module that holds several layers, whose last one is meant (`layer4` of a ResNet).
#[must_use]
pub fn resolve<'a>(layers: &'a [Layer], asked: &str) -> Option<&'a Layer> {
    let exact = |layer: &&Layer| layer.name == asked || layer.tensor == asked || layer.node == asked;
    let inside = |layer: &&Layer| {
        layer.name.strip_prefix(asked).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('/'))
    };
    layers.iter().find(exact).or_else(|| layers.iter().rev().find(inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::StringStringEntryProto;

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

    #[test]
    fn a_layer_is_taken_behind_its_activation() {
        let graph = GraphProto {
            node: vec![
                NodeProto::new("Conv", &["x", "features.0.weight"], &["c"]),
                NodeProto::new("BatchNormalization", &["c"], &["b"]),
                NodeProto::new("Sigmoid", &["b"], &["s"]),
                NodeProto::new("Mul", &["b", "s"], &["silu"]),
                NodeProto::new("GlobalAveragePool", &["silu"], &["y"]),
            ],
            ..Default::default()
        };
        let shapes =
            ["c", "b", "s", "silu"].map(|name| (name.to_owned(), vec![1, 8, 4, 4])).into_iter().collect();
        let layers = find(&graph, &shapes, "y");
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].tensor, "silu");
        assert_eq!(layers[0].name, "features.0");
        assert_eq!(layers[0].shape, [8, 4, 4]);
    }

    #[test]
    fn a_module_means_its_last_layer() {
        let layer = |name: &str| Layer {
            name: name.into(),
            tensor: name.into(),
            node: name.into(),
            shape: [1, 2, 2],
            is_pooled: false,
        };
        let layers = [layer("layer4.0.relu"), layer("layer4.1.relu"), layer("layer40.0")];
        assert_eq!(resolve(&layers, "layer4").map(|layer| layer.name.as_str()), Some("layer4.1.relu"));
        assert_eq!(resolve(&layers, "layer4.0").map(|layer| layer.name.as_str()), Some("layer4.0.relu"));
        assert_eq!(resolve(&layers, "layer"), None);
    }
}
