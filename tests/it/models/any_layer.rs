//! Any tensor of a graph as a layer: found by its name or its node's, with the values that plain
//! ONNX Runtime computes, or refused with what was found. `tests/golden/tensors.json` was made by
//! `tools golden.tensors`.

use std::collections::{BTreeMap, HashSet};

use camlens::engine::{CancellationToken, Model, PassRequest, Settings};
use camlens::error::{Error, Kind};
use camlens::graph::layers::Layer;
use ndarray::{Array4, Axis};
use onnx_gradient::proto::ModelProto;
use prost::Message;
use serde::Deserialize;

use crate::net::{Net, int, ints};
use crate::support::{
    Golden, difference, golden_model, image_size, logit_gradients, max_abs, repository, run,
    settings, sine_pattern, written,
};

/// Largest difference of a value, relative to the tensor's largest one.
const TOLERANCE: f64 = 1e-4;

/// A tensor as plain ONNX Runtime computes it for one image.
#[derive(Deserialize)]
struct Expected {
    sizes: Vec<usize>,
    /// Mean, root mean square, least and largest value.
    numbers: [f64; 4],
}

fn golden_tensors(model: &str) -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(repository("tests/golden/tensors.json")).unwrap();
    let mut models: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_str(&text).unwrap();
    models.remove(model).unwrap()
}

fn file(model: &str) -> ModelProto {
    let bytes = std::fs::read(repository(&format!("tests/golden/{model}.onnx"))).unwrap();
    ModelProto::decode(bytes.as_slice()).unwrap()
}

fn numbers(maps: &Array4<f32>) -> [f64; 4] {
    let values = || maps.iter().map(|&value| f64::from(value));
    let mean = |sum: f64| sum / maps.len() as f64;
    [
        mean(values().sum()),
        mean(values().map(|value| value * value).sum()).sqrt(),
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    ]
}

/// The words that every refusal has one of.
const REFUSALS: [&str; 6] = [
    "can't be traced",
    "has a single position",
    "has no rows and columns",
    "does not depend on the image",
    "and maps are floats",
    "has no layer",
];

fn assert_refused(error: &Error, context: &str) {
    assert_eq!(error.kind(), Kind::UnknownLayer, "{context}");
    let detail = error.detail();
    assert!(REFUSALS.iter().any(|words| detail.contains(words)), "{context}: {detail}");
    if detail.contains("can't be traced to") {
        assert!(detail.contains("model.toml"), "{context}: {detail}");
    }
}

/// Requests every tensor and every node of a model, `together` of them in one program. Returns how
/// many tensors are layers.
fn assert_every_tensor_is_right(name: &str, together: usize) -> usize {
    let x: Array4<f32> = Golden::open(&format!("{name}.npz")).get("x");
    let x = x.slice_axis(Axis(0), (..1).into()).to_owned();
    let load = |fast_kernels: bool| {
        let settings = Settings { fast_kernels, ..settings() };
        golden_model(name, image_size(&x), "", &settings)
    };
    let (fast, plain) = (load(true), load(false));
    let expected = golden_tensors(name);
    let graph = file(name).graph.unwrap();
    let mut found: Vec<&Layer> = Vec::new();
    for node in &graph.node {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            match fast.layer(Some(output)) {
                Ok(layer) => found.push(layer),
                Err(error) => assert_refused(&error, output),
            }
        }
        match fast.layer(Some(node.name())) {
            Ok(layer) => assert_eq!(fast.layer(Some(&layer.name)).unwrap(), layer),
            Err(error) => assert_refused(&error, node.name()),
        }
    }
    let mut seen = HashSet::new();
    found.retain(|layer| seen.insert(layer.tensor.as_str()));
    let (with_gradient, without): (Vec<&Layer>, Vec<&Layer>) =
        found.iter().partition(|layer| fast.gradient_unsupported_reason(layer).is_none());
    for (layers, has_gradient) in [(with_gradient, true), (without, false)] {
        let pass = PassRequest {
            activation: true,
            ..match has_gradient {
                true => logit_gradients(x.clone(), &[1]),
                false => PassRequest::new(x.clone()),
            }
        };
        for layers in layers.chunks(together) {
            let run = |model: &Model| {
                let layers: Vec<&Layer> =
                    layers.iter().map(|layer| model.layer(Some(&layer.tensor)).unwrap()).collect();
                model.run_all(&layers, pass.clone(), &CancellationToken::default()).unwrap()
            };
            for ((layer, output), reference) in layers.iter().zip(run(&fast)).zip(run(&plain)) {
                let context = format!("{name}, {}", layer.tensor);
                assert_eq!(fast.layer(Some(&layer.name)).unwrap(), *layer);
                let right = reference.activation.unwrap();
                let activation = output.activation.unwrap();
                assert_eq!(activation.shape()[1..], layer.shape, "{context}");
                let found = f64::from(difference(&activation, &right));
                let largest = f64::from(max_abs(&right));
                assert!(found <= TOLERANCE * largest, "{context}: the activation: {found}");
                assert_eq!(output.gradients.len(), usize::from(has_gradient), "{context}");
                for (gradient, right) in output.gradients.iter().zip(&reference.gradients) {
                    assert_eq!(gradient.shape()[1..], layer.shape, "{context}");
                    let found = difference(gradient, right);
                    assert!(found <= 1e-3 * max_abs(right), "{context}: the gradient: {found}");
                }
                if let Some(expected) = expected.get(&layer.tensor) {
                    expected.assert_holds(&activation, &context);
                }
            }
        }
    }
    found.len()
}

impl Expected {
    /// Compares maps with the tensor, unless class tokens were left out of them.
    fn assert_holds(&self, maps: &Array4<f32>, context: &str) {
        if self.sizes.iter().product::<usize>() != maps.len() {
            return;
        }
        let [_, _, least, largest] = self.numbers;
        let scale = least.abs().max(largest.abs());
        for (found, right) in numbers(maps).into_iter().zip(self.numbers) {
            let is_close = (found - right).abs() <= TOLERANCE * scale;
            assert!(is_close, "{context}: {found} for {right}");
        }
    }
}

#[test]
fn every_tensor_of_convolutional_networks_is_right_or_refused() {
    for (name, least) in [
        ("dialects/tinyvgg-torchscript", 32),
        ("dialects/tinyvgg-keras", 31),
        ("dialects/tinylite", 10),
        ("dialects/tinymix", 10),
    ] {
        let found = assert_every_tensor_is_right(name, 1);
        assert!(found >= least, "{name}: {found}");
    }
}

#[test]
fn every_tensor_of_dense_blocks_is_right_or_refused() {
    assert!(assert_every_tensor_is_right("zoo/densenet-torchscript", 4) >= 20);
}

#[test]
fn every_tensor_of_channel_shuffles_is_right_or_refused() {
    assert!(assert_every_tensor_is_right("zoo/shufflenet-dynamo", 4) >= 20);
}

#[test]
fn every_tensor_with_channels_last_is_right_or_refused() {
    assert!(assert_every_tensor_is_right("zoo/convnext-torchscript", 4) >= 20);
}

#[test]
fn every_tensor_of_attention_windows_is_right_or_refused() {
    for name in ["zoo/swin-torchscript", "zoo/maxvit-dynamo"] {
        assert!(assert_every_tensor_is_right(name, 10) >= 20);
    }
}

#[test]
fn every_tensor_of_a_transformer_is_right_or_refused() {
    assert!(assert_every_tensor_is_right("zoo/vit-torchscript", 10) >= 10);
}

/// A classifier whose maps `[N, 4, 8, 8]` pass through `write`, which returns the tensor to request
/// and the maps to go on with.
fn with_views(write: impl FnOnce(&mut Net, &str) -> (String, String)) -> (Model, String) {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
    let maps = net.op_with("Conv", &["x", &kernel], [ints("pads", &[1, 1, 1, 1])]);
    let maps = net.op("Tanh", &[&maps]);
    let (view, maps) = write(&mut net, &maps);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    (written(&net.model([3, 8, 8], &[&scores], 18), "").unwrap(), view)
}

fn reshaped(net: &mut Net, x: &str, sizes: &[i64]) -> String {
    let sizes = net.int64s(sizes);
    net.op("Reshape", &[x, &sizes])
}

/// The order of channels does not matter to a map; here every view keeps it.
#[test]
fn a_view_of_the_maps_holds_the_same_maps() {
    type View = fn(&mut Net, &str) -> (String, String);
    let views: [(&str, View); 4] = [
        ("channels in two axes", |n, x| {
            let view = reshaped(n, x, &[0, 2, 2, 8, 8]);
            let back = reshaped(n, &view, &[0, 4, 8, 8]);
            (view, back)
        }),
        ("columns before rows", |n, x| {
            let view = n.op_with("Transpose", &[x], [ints("perm", &[0, 3, 2, 1])]);
            let back = n.op_with("Transpose", &[&view], [ints("perm", &[0, 3, 2, 1])]);
            (view, back)
        }),
        ("positions in one axis after the channels, before the images", |n, x| {
            let rows = reshaped(n, x, &[0, 4, 64]);
            let view = n.op_with("Transpose", &[&rows], [ints("perm", &[2, 0, 1])]);
            let back = n.op_with("Transpose", &[&view], [ints("perm", &[1, 2, 0])]);
            let back = reshaped(n, &back, &[0, 4, 8, 8]);
            (view, back)
        }),
        ("windows of 4 × 2 as images", |n, x| {
            let cut = reshaped(n, x, &[0, 4, 2, 4, 4, 2]);
            let order = [ints("perm", &[0, 2, 4, 3, 5, 1])];
            let windows = n.op_with("Transpose", &[&cut], order);
            let view = reshaped(n, &windows, &[-1, 8, 4]);
            let cut = reshaped(n, &view, &[-1, 2, 4, 4, 2, 4]);
            let back = n.op_with("Transpose", &[&cut], [ints("perm", &[0, 5, 1, 3, 2, 4])]);
            let back = reshaped(n, &back, &[0, 4, 8, 8]);
            (view, back)
        }),
    ];
    for (context, view) in views {
        let (model, tensor) = with_views(view);
        let layer = model.layer(Some(&tensor)).unwrap_or_else(|error| panic!("{context}: {error}"));
        let maps = model.default_layer();
        assert_eq!(layer.shape, maps.shape, "{context}");
        // The tail of the layer runs on its own, too.
        assert_eq!(model.tail_unsupported_reason(layer), None, "{context}");
        let x = ndarray::concatenate![Axis(0), sine_pattern(0.37), sine_pattern(0.21)];
        let pass = PassRequest { activation: true, ..logit_gradients(x, &[2]) };
        let (found, right) = (run(&model, layer, pass.clone()), run(&model, maps, pass.clone()));
        assert_eq!(found.activation, right.activation, "{context}");
        let difference = difference(&found.gradients[0], &right.gradients[0]);
        assert!(difference <= 1e-6, "{context}: {difference}");
        let both = model.run_all(&[layer, maps], pass, &CancellationToken::default()).unwrap();
        assert_eq!(both[0].activation, both[1].activation, "{context}");
    }
}

#[test]
fn a_refusal_says_what_was_found_and_how_to_declare_it() {
    let (model, rolled) = with_views(|n, x| {
        let [one, end, zero] = [1, i64::MAX, 0].map(|value| n.int64s(&[value]));
        let axis = n.int64s(&[2]);
        let below = n.op("Slice", &[x, &one, &end, &axis]);
        let first = n.op("Slice", &[x, &zero, &one, &axis]);
        let rolled = n.op_with("Concat", &[&below, &first], [int("axis", 2)]);
        (below, rolled)
    });
    let refused = |name: &str| model.layer(Some(name)).unwrap_err().detail().to_owned();
    let id = model.id().to_owned();
    let graph = model.analysed().graph();
    let of = |op: &str| graph.node.iter().find(|node| node.op() == op).unwrap().output[0].clone();
    assert_eq!(
        refused(&rolled),
        format!(
            "model '{id}' can't explain layer '{rolled}': tensor '{rolled}' (Slice, [N, 4, 7, 8]) \
             can't be traced to the image's rows and columns; if it holds maps, declare it in \
             model.toml: [layers] takes my_layer = \"{rolled}\" for [N, C, h, w], or my_layer = {{ \
             tensor = \"{rolled}\", layout = \"nhwc\" }}"
        )
    );
    let pooled = of("GlobalAveragePool");
    assert!(refused(&pooled).ends_with(
        "(GlobalAveragePool, [N, 4, 1, 1]) has a single position; name a layer before the pooling"
    ));
    assert!(refused(&of("Flatten")).contains("(Flatten, [N, 4]) has no rows and columns"));
    assert!(refused("nothing").contains("has no layer 'nothing'"));
    assert!(refused("x").contains("'x' is the model's input"));
    let weight = &graph.initializer[0];
    assert!(refused(weight.name()).contains("is a constant and does not depend on the image"));
}

#[test]
fn a_manifest_declares_the_order_of_axes_that_cannot_be_traced() {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[8, 3, 1, 1]), net.weights(&[8, 5]));
    let maps = net.op("Conv", &["x", &kernel]);
    let last = net.op_with("Transpose", &[&maps], [ints("perm", &[0, 2, 3, 1])]);
    // A cumulative sum mixes positions, so nothing is known about what follows it.
    let axis = net.int64(1);
    let sums = net.op("CumSum", &[&last, &axis]);
    let axes = net.int64s(&[1, 2]);
    let mean = net.op_with("ReduceMean", &[&sums, &axes], [int("keepdims", 0)]);
    let scores = net.op("MatMul", &[&mean, &weight]);
    let model = net.model([3, 4, 6], &[&scores], 18);
    let error = written(&model, "").unwrap().layer(Some(&sums)).unwrap_err();
    assert!(error.detail().contains("(CumSum, [N, 4, 6, 8]) can't be traced"), "{error}");
    let manifest = format!("[layers]\nsums = {{ tensor = \"{sums}\", layout = \"nhwc\" }}\n");
    let declared = written(&model, &manifest).unwrap();
    assert_eq!(declared.layer(Some("sums")).unwrap().shape, [8, 4, 6]);
}
