//! Names of layers: unique, with enough of their path, and each leads back to its layer.

use std::collections::HashSet;

use camlens::engine::Model;
use ndarray::Array4;
use onnx_gradient::proto::ModelProto;

use crate::net::Net;
use crate::support::{Golden, golden_model, image_size, repository, settings, written};

/// The models of `tests/golden`, each with a file of arrays of the same name.
fn golden_names() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["dialects", "zoo"] {
        for entry in std::fs::read_dir(repository(&format!("tests/golden/{folder}"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "onnx")
                && path.with_extension("npz").exists()
            {
                names.push(format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap()));
            }
        }
    }
    names.sort();
    names
}

#[test]
fn listed_names_are_unique_and_lead_back_to_their_layer() {
    let names = golden_names();
    assert!(names.len() > 20);
    for name in names {
        let x: Array4<f32> = Golden::open(&format!("{name}.npz")).get("x");
        let model = golden_model(&name, image_size(&x), "", &settings());
        let unique: HashSet<&str> =
            model.layers().iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(unique.len(), model.layers().len(), "{name}");
        for layer in model.layers() {
            assert_eq!(model.layer(Some(&layer.name)).unwrap(), layer, "{name}");
            assert_eq!(model.layer(Some(&layer.tensor)).unwrap(), layer, "{name}");
        }
    }
}

/// `conv` in scopes that repeat, as TF-slim and Keras write them; layer `i` halves the map.
fn scoped(nodes: &[(&str, &str)], manifest: &str) -> Model {
    let mut net = Net::default();
    let mut maps = "x".to_owned();
    for (conv, relu) in nodes {
        let kernel = net.weights(&[3, 3, 1, 1]);
        for (name, op) in [(conv, "Conv"), (relu, "Relu")] {
            let inputs = if op == "Conv" { vec![maps.as_str(), &kernel] } else { vec![&*maps] };
            let output = net.op(op, &inputs);
            net.nodes.last_mut().unwrap().name = Some((*name).to_owned());
            maps = output;
        }
    }
    let (weight, mean) = (net.weights(&[3, 5]), net.op("GlobalAveragePool", &[&maps]));
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    written(&net.model([3, 8, 8], &[&scores], 18), manifest).unwrap()
}

fn names(model: &Model) -> Vec<&str> {
    model.layers().iter().map(|layer| layer.name.as_str()).collect()
}

/// Two layers, of which the second's nodes have the names of the first's tensors.
#[test]
fn a_tensor_s_name_leads_to_it_whatever_the_nodes_are_called() {
    let mut net = Net::default();
    let kernels = [net.weights(&[3, 3, 1, 1]), net.weights(&[3, 3, 1, 1])];
    let first = net.op("Conv", &["x", &kernels[0]]);
    let first_relu = net.op("Relu", &[&first]);
    let second = net.op("Conv", &[&first_relu, &kernels[1]]);
    net.nodes.last_mut().unwrap().name = Some(first_relu.clone());
    let second_relu = net.op("Relu", &[&second]);
    net.nodes.last_mut().unwrap().name = Some(first.clone());
    let (weight, mean) = (net.weights(&[3, 5]), net.op("GlobalAveragePool", &[&second_relu]));
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let network = net.model([3, 8, 8], &[&scores], 18);
    let manifest = format!("default_layer = \"{first}\"\n[layers]\nmine = \"{first}\"\n");
    for manifest in ["", &manifest] {
        let model = written(&network, manifest).unwrap();
        for tensor in [&first, &first_relu, &second, &second_relu] {
            let layer = model.layer(Some(tensor)).unwrap();
            assert_eq!(layer.tensor, *tensor, "{:?}", model.layers());
            assert_eq!(model.layer(Some(&layer.name)).unwrap(), layer);
        }
        if !manifest.is_empty() {
            assert_eq!(model.default_layer().tensor, first);
            assert_eq!(model.layer(Some("mine")).unwrap().tensor, first);
        }
    }
    // A manifest's default layer without an alias is the tensor, too.
    let model = written(&network, &format!("default_layer = \"{first}\"\n")).unwrap();
    assert_eq!(model.default_layer().tensor, first);
}

#[test]
fn names_that_repeat_in_several_scopes_keep_enough_of_their_path() {
    let slim = scoped(
        &[
            ("M/expanded_conv_1/expand/Conv2D", "M/expanded_conv_1/expand/Relu6"),
            ("M/expanded_conv_1/depthwise/Conv2D", "M/expanded_conv_1/depthwise/Relu6"),
            ("M/expanded_conv_2/expand/Conv2D", "M/expanded_conv_2/expand/Relu6"),
            ("M/Conv_1/Conv2D", "M/Conv_1/Relu6"),
        ],
        "",
    );
    let expected = ["expanded_conv_1/expand", "depthwise", "expanded_conv_2/expand", "Conv_1"];
    assert_eq!(names(&slim), expected);
    // The default layer's own name is the default layer.
    let twice = scoped(&[("a/c/Conv", "a/c/Relu"), ("b/c/Conv", "b/c/Relu")], "");
    assert_eq!(names(&twice), ["a/c", "b/c"]);
    assert_eq!(twice.layer(Some(&twice.default_layer().name)).unwrap(), twice.default_layer());
    let shared = [("a/c/Conv", "a/c/Relu"), ("a/c/Conv_1", "a/c/Relu_1"), ("b/c/X", "b/c/Relu")];
    assert_eq!(names(&scoped(&shared, "")), ["a/c", "c.relu_1", "b/c"]);
}

#[test]
fn an_alias_takes_its_name_from_the_layer_that_had_it() {
    let nodes = [("a/c1/Conv", "a/c1/Relu"), ("a/c2/Conv", "a/c2/Relu")];
    let swapped = scoped(&nodes, "[layers]\nc1 = \"c2\"\nc2 = \"c1\"\n");
    assert_eq!(names(&swapped), ["c2", "c1"]);
    let taken = scoped(&nodes, "[layers]\nc1 = \"c2\"\n");
    assert_eq!(names(&taken), ["a/c1", "c1"]);
    // Both aliases of one layer lead to it, and so does its own name.
    let both = scoped(&nodes, "[layers]\nfirst = \"c2\"\nlast = \"c2\"\n");
    for name in ["first", "last", "c2"] {
        assert_eq!(both.layer(Some(name)).unwrap().node, "a/c2/Relu", "{name}");
    }
}

/// A tensor's name can't make way as a layer's can, so an alias must not take it.
#[test]
fn an_alias_that_hides_another_tensor_is_refused() {
    let network = |manifest: &str| {
        let mut net = Net::default();
        let mut maps = "x".to_owned();
        for _ in 0..2 {
            let kernel = net.weights(&[3, 3, 1, 1]);
            maps = net.op("Conv", &[&maps, &kernel]);
            maps = net.op("Relu", &[&maps]);
        }
        let (weight, mean) = (net.weights(&[3, 5]), net.op("GlobalAveragePool", &[&maps]));
        let features = net.op("Flatten", &[&mean]);
        let scores = net.op("MatMul", &[&features, &weight]);
        let tensors: Vec<String> = net.nodes.iter().map(|node| node.output[0].clone()).collect();
        (written(&net.model([3, 8, 8], &[&scores], 18), manifest), tensors)
    };
    let tensors = network("").1;
    let [conv, relu, _, last, pooled, ..] = tensors.as_slice() else { panic!("{tensors:?}") };
    for hidden in [relu, conv] {
        let refusal = network(&format!("[layers]\n{hidden} = \"{last}\"\n")).0.err().unwrap();
        let words =
            format!("layers.{hidden}: this alias of '{last}' is the name of another tensor");
        assert!(refusal.to_string().contains(&words), "{refusal}");
    }
    // Its own name, and that of a tensor which holds no maps, hide nothing.
    for alias in [last, pooled] {
        let model = network(&format!("[layers]\n{alias} = \"{last}\"\n")).0.unwrap();
        assert_eq!(model.layer(Some(alias)).unwrap().tensor, *last);
    }
}

#[test]
fn a_default_layer_may_be_any_tensor() {
    let nodes = [("a/c1/Conv", "a/c1/Relu"), ("a/c2/Conv", "a/c2/Relu")];
    let model = scoped(&nodes, "default_layer = \"a/c2/Conv\"\n");
    assert_eq!(model.default_layer().node, "a/c2/Conv");
    assert_eq!(model.layer(Some("a/c2/Conv")).unwrap(), model.default_layer());
}

/// A tensor of such a name would take the place of one that camlens adds.
#[test]
fn a_name_of_camlens_s_own_is_refused() {
    let loaded = |rename: &dyn Fn(&mut ModelProto)| {
        let mut net = Net::default();
        let (kernel, weight) = (net.weights(&[3, 3, 1, 1]), net.weights(&[3, 5]));
        let maps = net.op("Conv", &["x", &kernel]);
        let maps = net.op("Relu", &[&maps]);
        let mean = net.op("GlobalAveragePool", &[&maps]);
        let features = net.op("Flatten", &[&mean]);
        let scores = net.op("MatMul", &[&features, &weight]);
        let mut model = net.model([3, 8, 8], &[&scores], 18);
        rename(&mut model);
        written(&model, "").map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(loaded(&|_| ()), Ok(()));
    let maps = |model: &mut ModelProto, name: &str| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes[0].output[0] = name.to_owned();
        nodes[1].input[0] = name.to_owned();
    };
    assert_eq!(loaded(&|model| maps(model, "mine/camlens/scores")), Ok(()));
    for name in ["camlens/scores", "camlens/seed/0", "x/camlens/inside"] {
        let error = loaded(&|model| maps(model, name)).unwrap_err();
        let expected = format!("the model has a node or a tensor '{name}'; such names are");
        assert!(error.contains(&expected), "{error}");
    }
    let error = loaded(&|model| {
        model.graph.as_mut().unwrap().node[2].name = Some("camlens/condition".to_owned());
    });
    assert!(error.unwrap_err().contains("'camlens/condition'"));
}
