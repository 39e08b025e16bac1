//! Passes through a model: layers and classes together or alone, batches, and the defaults.

use camlens::engine::{CancellationToken, PassRequest};
use camlens::graph::layers::Layer;
use camlens::graph::program_io::GradientOf;
use ndarray::{Array4, Axis, concatenate};

use crate::support::{dialect, logit_gradients, modular_pattern, run, run_default};

/// There are more layers than the model may hold sessions for, so sessions are closed and opened
/// again.
#[test]
fn every_layer_has_its_gradient_though_not_all_sessions_stay_open() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let gradient = |layer: &Layer| {
        let pass = logit_gradients(modular_pattern([64, 64], 0), &[3]);
        run(&model, layer, PassRequest { activation: true, ..pass }).gradients.remove(0)
    };
    let first: Vec<_> = model.layers().iter().map(gradient).collect();
    let again: Vec<_> = model.layers().iter().map(gradient).collect();
    assert_eq!(first, again);
    for (layer, gradient) in model.layers().iter().zip(first) {
        assert_eq!(gradient.shape()[1..], layer.shape);
    }
}

/// The layers share a session, which has an order of its own.
#[test]
fn layers_may_be_named_in_any_order() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let gradients = |indices: [usize; 3]| {
        let layers = indices.map(|index| &model.layers()[index]);
        let pass = logit_gradients(modular_pattern([64, 64], 0), &[3]);
        let pass = PassRequest { activation: true, ..pass };
        let outputs = model.run_all(&layers, pass, &CancellationToken::default()).unwrap();
        for (output, layer) in outputs.iter().zip(layers) {
            assert_eq!(output.gradients[0].shape()[1..], layer.shape);
        }
        outputs.into_iter().map(|mut output| output.gradients.remove(0)).collect::<Vec<_>>()
    };
    let [first, second, third] = gradients([0, 2, 4]).try_into().unwrap();
    assert_eq!(gradients([4, 0, 2]), [third, first, second]);
}

/// Holds for a batch, too, and for logits and probabilities: the loop's iterations are independent.
#[test]
fn gradients_of_several_classes_are_those_of_each_alone() {
    let model = dialect("tinylite", [48, 48]);
    let image = modular_pattern([48, 48], 0);
    let batch = concatenate![Axis(0), image, image.mapv(|value| 1.0 - value)];
    for (gradient_of, contrast) in [(GradientOf::Logit, None), (GradientOf::Probability, Some(6))] {
        let gradients = |classes: &[usize]| {
            let pass = logit_gradients(batch.clone(), classes);
            run_default(&model, PassRequest { contrast, gradient_of, ..pass }).gradients
        };
        let together = gradients(&[2, 9, 4]);
        assert_eq!(together.len(), 3);
        for (gradient, class) in together.into_iter().zip([2, 9, 4]) {
            assert!(gradient.iter().any(|&value| value != 0.0));
            assert_eq!(vec![gradient], gradients(&[class]));
        }
    }
}

/// Each image of a batch has a predicted class of its own.
#[test]
fn a_pass_that_names_no_class_differentiates_the_predicted_one() {
    let model = dialect("tinylite", [48, 48]);
    // A plain image in each primary colour: no other images differ as much.
    let batch =
        Array4::from_shape_fn((3, 3, 48, 48), |(n, c, _, _)| if n == c { 3.0 } else { -3.0 });
    let run = |classes: &[usize]| run_default(&model, logit_gradients(batch.clone(), classes));
    let output = run(&[]);
    assert_eq!(output.gradients.len(), 1);
    let mut classes = Vec::new();
    for (image, scores) in output.scores.outer_iter().enumerate() {
        let (predicted, _) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let [found, expected] = [&output, &run(&[predicted])]
            .map(|output| output.gradients[0].index_axis(Axis(0), image).to_owned());
        assert_eq!(found, expected);
        classes.push(predicted);
    }
    assert!(classes.iter().any(|&class| class != classes[0]), "{classes:?}");
}

#[test]
fn a_pass_that_asks_for_no_gradient_gets_none() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let pass = PassRequest { activation: true, ..PassRequest::new(modular_pattern([64, 64], 0)) };
    let output = run_default(&model, pass);
    assert!(output.gradients.is_empty());
    assert_eq!(output.activation.unwrap().shape()[1..], model.default_layer().shape);
}

#[test]
fn the_default_layer_is_the_last_convolution_not_the_pool_after_it() {
    assert_eq!(dialect("tinyvgg-torchscript", [64, 64]).default_layer().name, "features.29");
    assert_eq!(dialect("tinyvgg-keras", [64, 64]).default_layer().name, "block5_conv3");
}
