//! Models in 16-bit floats and quantised models, compared with the float models' gradients. The
//! files were made by `tools conformance.tiny`.

use camlens::engine::Model;
use camlens::graph::layers::Layer;

use super::{TOLERANCE, architecture, architecture_like, assert_within, zoo_input};
use crate::support::{logit_gradients, max_abs, run, run_default};

/// A 16-bit float has three significant digits, and these models' sums lose part of the last one:
/// up to 1.8e-3, as measured.
const HALF_TOLERANCE: f32 = 2.5e-3;

#[test]
fn a_16_bit_model_has_its_gradient_in_32_bits() {
    assert_within(HALF_TOLERANCE, "vit-dynamo-half", "vit-dynamo");
    let model = architecture_like("vit-dynamo-half", "vit-dynamo");
    assert!(model.layers().iter().all(|layer| !layer.is_straight_through));
}

#[test]
fn a_16_bit_model_may_have_32_bit_inputs_and_outputs() {
    assert_within(HALF_TOLERANCE, "convnext-torchscript-half", "convnext-torchscript");
}

#[test]
fn a_model_of_quantisation_aware_training_has_the_gradient_of_its_training() {
    assert_within(TOLERANCE, "quantised-torchscript", "quantised-torchscript");
    // After the last quantisation, the values are dequantised and averaged: from there on the
    // gradient is exact.
    let model = architecture("quantised-torchscript");
    let estimated: Vec<bool> =
        model.layers().iter().map(|layer| layer.is_straight_through).collect();
    assert_eq!(estimated, [true, true, false]);
    let float = architecture("vit-torchscript");
    assert!(float.layers().iter().all(|layer| !layer.is_straight_through));
}

/// Each layer has a program of its own, which computes other convolutions in float, too.
#[test]
fn a_quantised_model_gives_the_same_scores_for_every_layer() {
    for (name, golden) in [
        ("convnext-qdq", "convnext-torchscript"),
        ("shufflenet-qoperator", "shufflenet-torchscript"),
    ] {
        let (model, x) = (architecture_like(name, golden), zoo_input(golden));
        let scores = |layer: &Layer| run(&model, layer, logit_gradients(x.clone(), &[3])).scores;
        let expected = scores(model.default_layer());
        for layer in model.layers() {
            let difference = max_abs(&(&scores(layer) - &expected));
            assert!(
                difference <= 1e-5 * max_abs(&expected),
                "{name}, {}: {difference}",
                layer.name
            );
        }
    }
}

/// The three models have pairs of QuantizeLinear and DequantizeLinear, integer operators, and
/// integer weights that are quantised with the range of each image.
#[test]
fn a_model_quantised_after_training_has_nearly_the_direction_of_the_float_gradient() {
    for (quantised, golden) in [
        ("convnext-qdq", "convnext-torchscript"),
        ("shufflenet-qoperator", "shufflenet-torchscript"),
        ("vit-dynamic", "vit-torchscript"),
    ] {
        let (float, quantised) = (architecture(golden), architecture_like(quantised, golden));
        let x = zoo_input(golden);
        let gradient = |model: &Model| {
            assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None);
            run_default(model, logit_gradients(x.clone(), &[3])).gradients.remove(0)
        };
        assert_eq!(quantised.default_layer().shape, float.default_layer().shape);
        assert!(quantised.layers().iter().all(|layer| layer.is_straight_through));
        let (a, b) = (gradient(&float), gradient(&quantised));
        let cosine = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert!(cosine > 0.95, "{golden}: {cosine}");
    }
}
