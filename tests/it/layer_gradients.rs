//! Which layers have a gradient: one walk over the graph gives the same verdicts, and the same
//! reasons, as building the backward pass of each layer.

use std::path::{Path, PathBuf};

use camlens::engine::{Model, ModelRegistry};
use camlens::graph::explain_graph;
use camlens::model::ModelFolder;
use onnx_gradient::backward::backward;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::reachability::reachability;
use onnx_gradient::vjp;

use crate::net::{Net, int, ints};
use crate::support::{fetched, repository, settings, written};

/// A bare model file. External weights are looked for beside it.
fn load(file: &Path) -> Model {
    ModelRegistry::load_one(ModelFolder::from_onnx_file(file).expect("a model file"), &settings())
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn models_of(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(folder)).expect("the golden models");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect()
}

fn assert_same_as_building(model: &Model) {
    for layer in model.layers() {
        let built = explain_graph::explain(model.analysed(), &[layer]).err();
        let found = model.gradient_unsupported_reason(layer);
        // After the last attention there is a gradient, but not for every position.
        if built.is_some() || layer.affects_score_per_position {
            assert_eq!(found, built.as_deref(), "{}: {}", model.id(), layer.name);
        } else {
            assert!(found.is_some_and(|reason| reason.contains("class token")), "{found:?}");
        }
    }
}

/// Every tensor of the graph as a target, whether it is a layer or not.
fn assert_same_for_every_tensor(model: &Model) {
    let analysed = model.analysed();
    let graph_index = GraphIndex::new(analysed.graph());
    let outputs = analysed.graph().node.iter().flat_map(|node| &node.output);
    let tensors: Vec<&str> = outputs.map(String::as_str).filter(|name| !name.is_empty()).collect();
    let score = &analysed.head.tensor;
    let found = reachability(&graph_index, &analysed.facts, score, &tensors);
    for (tensor, found) in tensors.iter().zip(found) {
        let built =
            backward(&graph_index, &analysed.facts, score, &[tensor], "seed", "camlens/gradient/")
                .map(drop);
        assert_eq!(found, built, "{}: {tensor}", model.id());
    }
}

#[test]
fn verdicts_on_small_models_are_those_of_building_each_backward_pass() {
    let files = [models_of("tests/golden/dialects"), models_of("tests/golden/zoo")].concat();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let model = load(&file);
        assert_same_as_building(&model);
        assert_same_for_every_tensor(&model);
    }
}

#[test]
fn verdicts_on_trained_models_are_those_of_building_each_backward_pass() {
    for id in ["efficientnet-lite0", "vgg16-mri"] {
        assert_same_as_building(&fetched(id));
    }
}

/// A chain of `count` convolutions, each a layer.
fn chain(net: &mut Net, input: &str, count: usize) -> String {
    let mut tensor = input.to_owned();
    for _ in 0..count {
        let weights = net.weights(&[3, 3, 3, 3]);
        let maps = net.with("Conv", &[&tensor, &weights], vec![ints("pads", &[1, 1, 1, 1])]);
        tensor = net.op("Relu", &[&maps]);
    }
    tensor
}

fn with_head(mut net: Net, maps: &str) -> Model {
    let pooled = net.op("GlobalAveragePool", &[maps]);
    let scores = net.op("Flatten", &[&pooled]);
    let model = net.model([3, 8, 8], &[&scores], 17);
    written(&model, "[input]\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n").expect("a model")
}

#[test]
fn an_operator_without_a_rule_only_concerns_the_layers_before_it() {
    let mut net = Net::default();
    let stem = chain(&mut net, "x", 3);
    let lengths = net.int64s(&[1, 1, 1]);
    let axes = vec![int("batch_axis", 1), int("time_axis", 0)];
    let reversed = net.with("ReverseSequence", &[&stem, &lengths], axes);
    let node = net.nodes.last().expect("a node");
    assert!(vjp::lookup(node).is_none(), "choose another operator: this one has a vjp");
    let (left, right) = (chain(&mut net, &reversed, 2), chain(&mut net, "x", 2));
    let sum = net.op("Add", &[&left, &right]);
    let model = with_head(net, &sum);
    assert_same_as_building(&model);
    assert_same_for_every_tensor(&model);
    let refused: Vec<bool> = (model.layers().iter())
        .map(|layer| model.gradient_unsupported_reason(layer).is_some())
        .collect();
    assert_eq!(refused.iter().filter(|refused| **refused).count(), 3, "{refused:?}");
}

#[test]
fn a_chain_of_400_layers_has_a_gradient_everywhere() {
    let mut net = Net::default();
    let maps = chain(&mut net, "x", 400);
    let model = with_head(net, &maps);
    assert_eq!(model.layers().len(), 400);
    assert!(model.layers().iter().all(|layer| model.gradient_unsupported_reason(layer).is_none()));
}
