//! What files of other days and other hands do to a classifier, and what camlens makes of it: a
//! batch of 1 written into the graph, weights and masks that nobody reads, images in gray or in
//! bytes.

use camlens::engine::{CancellationToken, Model, PassRequest};
use camlens::graph::explain_graph::GradientOf;
use camlens::model::manifest::Color;
use image::{Rgb, RgbImage};
use ndarray::{Array4, Axis, concatenate};
use onnx_gradient::proto::{
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeValue, data_type,
};

use crate::net::{Net, int, ints};
use crate::support::{relative_difference, written};

const SIZE: usize = 8;

/// Convolution and activation, `[N, 4, 4, 4]`.
fn head(net: &mut Net, channels: i64) -> String {
    let kernel = net.weights(&[4, channels, 3, 3]);
    let maps = net.with(
        "Conv",
        &["x", &kernel],
        vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])],
    );
    net.op("Tanh", &[&maps])
}

fn fixed(mut net: Net, scores: &str) -> ModelProto {
    let weight = net.weights(&[64, 5]);
    let scores = net.op("MatMul", &[scores, &weight]);
    net.model([3, SIZE, SIZE], &[&scores], 17)
}

fn image(seed: f32) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, SIZE, SIZE), |(_, c, y, x)| {
        ((c * 64 + y * 8 + x) as f32 * seed).sin()
    })
}

/// Two images in one pass, and each by itself: scores and gradients are the same.
fn computes_batches(model: &Model) {
    assert!(model.batch() > 1, "images run one by one");
    let run = |input: Array4<f32>| {
        let pass = PassRequest {
            targets: vec![2; input.len_of(Axis(0))],
            gradient_of: GradientOf::Logit,
            ..PassRequest::of(input)
        };
        model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap()
    };
    let (first, second) = (image(0.37), image(0.73));
    let both = run(concatenate![Axis(0), first, second]);
    for (place, alone) in [run(first), run(second)].iter().enumerate() {
        let row = |array: &Array4<f32>| {
            array.index_axis(Axis(0), place).insert_axis(Axis(0)).into_dyn().to_owned()
        };
        assert!(
            relative_difference(&row(&both.gradients[0]), &alone.gradients[0].clone().into_dyn())
                < 1e-5
        );
        let scores = both.scores.row(place).insert_axis(Axis(0)).into_dyn().to_owned();
        assert!(relative_difference(&scores, &alone.scores.clone().into_dyn()) < 1e-5);
    }
}

#[test]
fn a_batch_of_1_in_a_reshape_is_let_go() {
    let mut net = Net::default();
    let maps = head(&mut net, 3);
    let sizes = net.ints(&[1, 64]);
    let flat = net.op("Reshape", &[&maps, &sizes]);
    computes_batches(&written(&fixed(net, &flat), "").unwrap());
}

#[test]
fn a_batch_of_1_in_windows_is_let_go() {
    let mut net = Net::default();
    let maps = head(&mut net, 3);
    // As Swin takes its windows: rows and columns apart, the windows to the batch, and back.
    let apart = net.ints(&[1, 4, 2, 2, 2, 2]);
    let maps = net.op("Reshape", &[&maps, &apart]);
    let maps = net.with("Transpose", &[&maps], vec![ints("perm", &[0, 2, 4, 3, 5, 1])]);
    let windows = net.ints(&[4, -1, 4]);
    let windows = net.op("Reshape", &[&maps, &windows]);
    let soft = net.with("Softmax", &[&windows], vec![int("axis", 1)]);
    let back = net.ints(&[1, -1]);
    let flat = net.op("Reshape", &[&soft, &back]);
    computes_batches(&written(&fixed(net, &flat), "").unwrap());
}

#[test]
fn a_class_token_of_a_batch_of_1_is_repeated() {
    let mut net = Net::default();
    let maps = head(&mut net, 3);
    let (token, sizes) = (net.weights(&[1, 1, 4]), net.ints(&[1, 4, 16]));
    let places = net.op("Reshape", &[&maps, &sizes]);
    let places = net.with("Transpose", &[&places], vec![ints("perm", &[0, 2, 1])]);
    let tokens = net.with("Concat", &[&token, &places], vec![int("axis", 1)]);
    let mixing = net.weights(&[16, 17]);
    let mixed = net.op("MatMul", &[&mixing, &tokens]);
    let flat = net.with("Flatten", &[&mixed], vec![int("axis", 1)]);
    computes_batches(&written(&fixed(net, &flat), "").unwrap());
}

#[test]
fn a_batch_that_is_mixed_up_stays_at_1() {
    let mut net = Net::default();
    let maps = head(&mut net, 3);
    // The mean over the batch is an image's own only while it is alone.
    let axes = net.ints(&[0]);
    let mean = net.with("ReduceMean", &[&maps, &axes], vec![int("keepdims", 1)]);
    let maps = net.op("Sub", &[&maps, &mean]);
    let half = net.weights(&[1, 4, 4, 4]);
    let maps = net.op("Add", &[&maps, &half]);
    let sizes = net.ints(&[1, 64]);
    let flat = net.op("Reshape", &[&maps, &sizes]);
    let mut model = fixed(net, &flat);
    // `ReduceMean` takes its axes as an input from opset 18 on.
    model.opset_import[0].version = Some(18);
    assert_eq!(written(&model, "").unwrap().batch(), 1);
}

#[test]
fn weights_and_masks_that_nobody_reads_are_in_nobody_s_way() {
    let mut net = Net::default();
    let maps = head(&mut net, 3);
    let (flat, dropped) = (net.with("Flatten", &[&maps], vec![int("axis", 1)]), "dropped");
    net.nodes.push(NodeProto::new("Dropout", &[&flat], &[dropped, "mask"]));
    let mut model = fixed(net, dropped);
    // As Caffe2's exporter wrote them: all weights are inputs, one of them of nothing.
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
    computes_batches(&model);
}

#[test]
fn an_image_in_gray_is_one_channel() {
    let mut net = Net::default();
    let maps = head(&mut net, 1);
    let flat = net.with("Flatten", &[&maps], vec![int("axis", 1)]);
    let weight = net.weights(&[64, 5]);
    let scores = net.op("MatMul", &[&flat, &weight]);
    let file = net.model([1, SIZE, SIZE], &[&scores], 17);
    let model = written(&file, "").unwrap();
    let picture = RgbImage::from_pixel(20, 12, Rgb([200, 3, 77]));
    let input = model.preprocess().tensor(&picture);
    assert_eq!(
        (model.preprocess().color, input.shape()),
        (Color::Gray, [1, 1, SIZE, SIZE].as_slice())
    );
    let pass = PassRequest { gradient_of: GradientOf::Logit, ..PassRequest::of(input) };
    let outcome = model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap();
    assert_eq!(outcome.gradients[0].shape(), [1, 4, 4, 4]);
    let error = written(&file, "[input]\ncolor = \"bgr\"\n").err().unwrap();
    assert!(
        error.to_string().ends_with("model.toml says color bgr, its input has 1 channels"),
        "{error}"
    );
    let error = written(&file, "[input]\nmean = [0.5, 0.5, 0.5]\n").err().unwrap();
    assert!(error.to_string().contains("input.mean must have one value per channel"), "{error}");
}

#[test]
fn an_image_in_bytes_is_its_pixels() {
    let mut net = Net::default();
    let pixels = net.with("Cast", &["x"], vec![int("to", 1)]);
    let (by, kernel) = (net.float(1.0 / 255.0), net.weights(&[4, 3, 3, 3]));
    let maps = net.op("Mul", &[&pixels, &by]);
    let maps = net.op("Conv", &[&maps, &kernel]);
    let maps = net.op("Tanh", &[&maps]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let flat = net.with("Flatten", &[&mean], vec![int("axis", 1)]);
    let mut model = net.model([3, SIZE, SIZE], &[&flat], 17);
    let tensor =
        model.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap().value.as_mut().unwrap();
    let TypeValue::Tensor(tensor) = tensor else { unreachable!("the input is a tensor") };
    tensor.elem_type = Some(data_type::UINT8);
    let model = written(&model, "").unwrap();
    let input = model.preprocess().tensor(&RgbImage::from_pixel(9, 9, Rgb([200, 3, 77])));
    assert_eq!([input[[0, 0, 0, 0]], input[[0, 1, 0, 0]], input[[0, 2, 0, 0]]], [200.0, 3.0, 77.0]);
    let pass = PassRequest { gradient_of: GradientOf::Logit, ..PassRequest::of(input) };
    let outcome = model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap();
    // Each class is the mean of its own map of 6 by 6.
    let gradient = &outcome.gradients[0];
    let class =
        outcome.scores.row(0).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert!(
        gradient.index_axis(Axis(1), class).iter().all(|value| (value - 1.0 / 36.0).abs() < 1e-7)
    );
}
