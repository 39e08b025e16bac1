//! Inputs other than RGB floats: grey images, and images in bytes.

use camlens::engine::predicted;
use camlens::model::manifest::Color;
use image::{Rgb, RgbImage};
use ndarray::Axis;
use onnx_gradient::proto::{TypeValue, data_type};

use crate::net::{Net, int, ints};
use crate::support::{logit_gradients, run_default, written};

const SIZE: usize = 8;

#[test]
fn a_grey_image_has_one_channel() {
    let mut net = Net::default();
    let kernel = net.weights(&[4, 1, 3, 3]);
    let window = vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
    let maps = net.with("Conv", &["x", &kernel], window);
    let maps = net.op("Tanh", &[&maps]);
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
    let output = run_default(&model, logit_gradients(input, &[]));
    assert_eq!(output.gradients[0].shape(), [1, 4, 4, 4]);
    let error = written(&file, "[input]\ncolor = \"bgr\"\n").err().unwrap();
    assert!(
        error.to_string().ends_with("model.toml says color bgr, its input has 1 channels"),
        "{error}"
    );
    let error = written(&file, "[input]\nmean = [0.5, 0.5, 0.5]\n").err().unwrap();
    assert!(error.to_string().contains("input.mean must have one value per channel"), "{error}");
}

#[test]
fn an_input_of_bytes_gets_the_pixels_unscaled() {
    let mut net = Net::default();
    let pixels = net.with("Cast", &["x"], vec![int("to", 1)]);
    let (scale, kernel) = (net.float(1.0 / 255.0), net.weights(&[4, 3, 3, 3]));
    let maps = net.op("Mul", &[&pixels, &scale]);
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
    let output = run_default(&model, logit_gradients(input, &[]));
    // Each class is the mean of its own map of 6 × 6.
    let gradient = &output.gradients[0];
    let class = predicted(output.scores.row(0));
    assert!(
        gradient.index_axis(Axis(1), class).iter().all(|value| (value - 1.0 / 36.0).abs() < 1e-7)
    );
}
