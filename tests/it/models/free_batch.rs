//! Models whose file fixes the batch at 1, or lists unused weights and outputs: they compute any
//! batch once loaded, unless the graph mixes the images.

use camlens::engine::Model;
use ndarray::{Array4, Axis, concatenate};
use onnx_gradient::proto::{
    DimensionValue, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeValue,
};

use crate::net::{Net, int, ints};
use crate::support::{logit_gradients, relative_difference, run_default, sine_pattern, written};

/// A network that begins with a convolution and an activation, and the tensor `[N, 4, 4, 4]`.
fn start() -> (Net, String) {
    let mut net = Net::default();
    let kernel = net.weights(&[4, 3, 3, 3]);
    let window = vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
    let maps = net.with("Conv", &["x", &kernel], window);
    let maps = net.op("Tanh", &[&maps]);
    (net, maps)
}

/// The network followed by a linear layer, on features `[N, 64]`.
fn classifier(mut net: Net, features: &str) -> ModelProto {
    let weight = net.weights(&[64, 5]);
    let scores = net.op("MatMul", &[features, &weight]);
    net.model([3, 8, 8], &[&scores], 17)
}

/// Compares two images in one pass with each by itself: scores and gradients must be the same.
fn assert_computes_batches(model: &Model) {
    assert!(model.batch() > 1, "images run one by one");
    let run = |input: Array4<f32>| {
        let classes = vec![2; input.len_of(Axis(0))];
        run_default(model, logit_gradients(input, &classes))
    };
    let (first, second) = (sine_pattern(0.37), sine_pattern(0.73));
    let both = run(concatenate![Axis(0), first, second]);
    for (index, alone) in [run(first), run(second)].iter().enumerate() {
        let gradient = both.gradients[0].slice_axis(Axis(0), (index..=index).into()).to_owned();
        assert!(relative_difference(&gradient, &alone.gradients[0]) < 1e-5);
        let scores = both.scores.slice_axis(Axis(0), (index..=index).into()).to_owned();
        assert!(relative_difference(&scores, &alone.scores) < 1e-5);
    }
}

#[test]
fn a_batch_of_1_in_a_reshape_becomes_free() {
    let (mut net, maps) = start();
    let sizes = net.ints(&[1, 64]);
    let flat = net.op("Reshape", &[&maps, &sizes]);
    assert_computes_batches(&written(&classifier(net, &flat), "").unwrap());
}

#[test]
fn a_batch_of_1_in_attention_windows_becomes_free() {
    let (mut net, maps) = start();
    // As in Swin: rows and columns are split, the windows join the batch axis, and leave it again.
    let split = net.ints(&[1, 4, 2, 2, 2, 2]);
    let maps = net.op("Reshape", &[&maps, &split]);
    let maps = net.with("Transpose", &[&maps], vec![ints("perm", &[0, 2, 4, 3, 5, 1])]);
    let windows = net.ints(&[4, -1, 4]);
    let windows = net.op("Reshape", &[&maps, &windows]);
    let soft = net.with("Softmax", &[&windows], vec![int("axis", 1)]);
    let back = net.ints(&[1, -1]);
    let flat = net.op("Reshape", &[&soft, &back]);
    assert_computes_batches(&written(&classifier(net, &flat), "").unwrap());
}

#[test]
fn a_class_token_of_a_batch_of_1_is_repeated() {
    let (mut net, maps) = start();
    let (token, sizes) = (net.weights(&[1, 1, 4]), net.ints(&[1, 4, 16]));
    let positions = net.op("Reshape", &[&maps, &sizes]);
    let positions = net.with("Transpose", &[&positions], vec![ints("perm", &[0, 2, 1])]);
    let tokens = net.with("Concat", &[&token, &positions], vec![int("axis", 1)]);
    let mixing = net.weights(&[16, 17]);
    let mixed = net.op("MatMul", &[&mixing, &tokens]);
    let flat = net.with("Flatten", &[&mixed], vec![int("axis", 1)]);
    assert_computes_batches(&written(&classifier(net, &flat), "").unwrap());
}

#[test]
fn the_batch_stays_at_1_if_the_graph_mixes_the_images() {
    let (mut net, maps) = start();
    // The mean over the batch depends on one image only if the batch is 1.
    let axes = net.ints(&[0]);
    let mean = net.with("ReduceMean", &[&maps, &axes], vec![int("keepdims", 1)]);
    let maps = net.op("Sub", &[&maps, &mean]);
    let half = net.weights(&[1, 4, 4, 4]);
    let maps = net.op("Add", &[&maps, &half]);
    let sizes = net.ints(&[1, 64]);
    let flat = net.op("Reshape", &[&maps, &sizes]);
    let mut model = classifier(net, &flat);
    // `ReduceMean` takes its axes as an input from opset 18 on.
    model.opset_import[0].version = Some(18);
    assert_eq!(written(&model, "").unwrap().batch(), 1);
}

/// An extreme value over the batch lies in one of its images, which alone gives the same outputs.
#[test]
fn the_batch_stays_at_1_if_an_extreme_value_spans_the_images() {
    for (operator, of_input) in [("ReduceMax", true), ("ReduceMax", false), ("ReduceMin", false)] {
        let (mut net, maps) = start();
        let of = if of_input { "x" } else { maps.as_str() };
        let extreme = net.with(operator, &[of], vec![int("keepdims", 0)]);
        let maps = net.op("Div", &[&maps, &extreme]);
        let flat = net.with("Flatten", &[&maps], vec![int("axis", 1)]);
        let model = written(&classifier(net, &flat), "").unwrap();
        assert_eq!(model.batch(), 1, "{operator}, of the input: {of_input}");
    }
}

/// The model with another fixed number of images in its input and output.
fn of_batch(mut model: ModelProto, images: i64) -> ModelProto {
    let graph = model.graph.as_mut().unwrap();
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(TypeValue::Tensor(tensor)) = &mut value.r#type.as_mut().unwrap().value
            && let Some(shape) = &mut tensor.shape
        {
            shape.dim[0].value = Some(DimensionValue::Size(images));
        }
    }
    model
}

#[test]
fn a_batch_of_several_images_in_the_file_becomes_free() {
    for (images, opset) in [(4, 17), (3, 13), (2, 17)] {
        for sizes in [vec![images, 64], vec![images, -1]] {
            let (mut net, maps) = start();
            let sizes = net.ints(&sizes);
            let flat = net.op("Reshape", &[&maps, &sizes]);
            let mut model = of_batch(classifier(net, &flat), images);
            model.opset_import[0].version = Some(opset);
            let model = written(&model, "").unwrap();
            assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None);
            assert_computes_batches(&model);
        }
    }
}

#[test]
fn a_batch_of_several_images_in_the_input_alone_becomes_free() {
    let (mut net, maps) = start();
    let flat = net.with("Flatten", &[&maps], vec![int("axis", 1)]);
    let mut model = of_batch(classifier(net, &flat), 8);
    // An older opset is upgraded, and the result compared with the file.
    model.opset_import[0].version = Some(13);
    let model = written(&model, "").unwrap();
    assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None);
    assert_computes_batches(&model);
}

#[test]
fn a_fixed_batch_that_cannot_be_freed_is_named() {
    let (mut net, maps) = start();
    let flat = net.with("Flatten", &[&maps], vec![int("axis", 1)]);
    // The weights of a product over the images.
    let mixing = net.weights(&[4, 4]);
    let mixed = net.op("MatMul", &[&mixing, &flat]);
    let model = of_batch(classifier(net, &mixed), 4);
    let error = written(&model, "").err().unwrap().to_string();
    assert!(error.contains("takes 4 images at once"), "{error}");
    assert!(!error.contains("opset"), "{error}");
}

/// A file of four images that divides by the largest value of its batch.
#[test]
fn a_fixed_batch_whose_images_are_mixed_is_named() {
    let (mut net, maps) = start();
    let extreme = net.with("ReduceMax", &[&maps], vec![int("keepdims", 0)]);
    let maps = net.op("Div", &[&maps, &extreme]);
    let flat = net.with("Flatten", &[&maps], vec![int("axis", 1)]);
    let mut model = of_batch(classifier(net, &flat), 4);
    model.opset_import[0].version = Some(13);
    let model = written(&model, "").unwrap();
    let reason = model.gradient_unsupported_reason(model.default_layer()).unwrap();
    assert!(reason.contains("takes 4 images at once"), "{reason}");
    assert!(!reason.contains("opset"), "{reason}");
}

#[test]
fn unused_weights_and_dropout_masks_are_ignored() {
    let (mut net, maps) = start();
    let (flat, dropped) = (net.with("Flatten", &[&maps], vec![int("axis", 1)]), "dropped");
    net.nodes.push(NodeProto::new("Dropout", &[&flat], &[dropped, "mask"]));
    let mut model = classifier(net, dropped);
    // As Caffe2's exporter wrote them: all weights are inputs, and one of them is unused.
    model.ir_version = Some(3);
    model.opset_import = vec![OperatorSetIdProto { domain: None, version: Some(9) }];
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.push(TensorProto::float32("blobs_queue", &[1], &[0.0]));
    let listed: Vec<_> = (graph.initializer.iter())
        .map(|tensor| {
            let mut input = graph.input[0].clone();
            input.name.clone_from(&tensor.name);
            input
        })
        .collect();
    graph.input.extend(listed);
    let model = written(&model, "").unwrap();
    assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None);
    assert_computes_batches(&model);
}
