//! Compares the gradient of a model with central finite differences.
//!
//! The differences are taken of the original model, the gradient of the prepared one, so the passes
//! of [`onnx_gradient::prepare`] are part of what is compared.

use std::collections::HashMap;

use onnx_gradient::proto::ModelProto;
use onnx_gradient::{
    Differentiate, Error, GradOutput, TensorFacts, differentiate, gradient_name, prepare,
    shape_probe,
};

use crate::cases::{Case, ELEMENTS, HEIGHT, WIDTH, image, model};
use crate::network::Network;
use crate::runtime::{Output, run, session};

/// By how much an element is moved. No element lies closer to a kink than this.
pub(crate) const STEP: f32 = 4e-3;
/// Largest difference, relative to the largest derivative: differences of float32 scores are no
/// more accurate.
pub(crate) const TOLERANCE: f32 = 5e-3;
/// Largest difference between the outputs of a model and of its prepared form, relative to the
/// largest element.
const SAME_OUTPUTS: f32 = 1e-3;

pub(crate) const SIZE: [usize; 2] = [HEIGHT, WIDTH];

/// Differentiates the score of a case by its layer and compares with finite differences.
pub(crate) fn check(case: &Case) {
    let original = model(case.build);
    let x = image(case.range);
    let prepared = prepare(&original).expect("a model that can be prepared");
    let (facts, takes_batches) = measure(&prepared, &x);
    same_outputs(&original, &prepared, &x);
    let found = gradient(&prepared, &facts, &x).expect("a gradient");

    let mut session = session(&original);
    let mut scores_of_moved = |by: f32| {
        let mut batch = x.repeat(ELEMENTS);
        for (index, moved) in batch.chunks_exact_mut(ELEMENTS).enumerate() {
            moved[index] += by;
        }
        let size = if takes_batches { batch.len() } else { ELEMENTS };
        let scores = batch.chunks_exact(size).flat_map(|images| {
            let outputs = run(&mut session, images, SIZE).expect("a run");
            floats(&outputs, "scores").iter().step_by(2).copied().collect::<Vec<f32>>()
        });
        scores.collect::<Vec<f32>>()
    };
    let (up, down) = (scores_of_moved(STEP), scores_of_moved(-STEP));
    let expected: Vec<f32> =
        up.iter().zip(down).map(|(up, down)| (up - down) / (2.0 * STEP)).collect();

    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 1e-3, "the score does not depend on the layer");
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs() / largest;
        assert!(
            difference <= TOLERANCE,
            "element {index}: the gradient is {found}, finite differences give {expected}"
        );
    }
}

/// The gradient of a network's score by its layer at `x`, or why there is none.
pub(crate) fn gradient_of(
    x: &[f32],
    build: impl FnOnce(&mut Network) -> String,
) -> Result<Vec<f32>, Error> {
    let prepared = prepare(&model(build))?;
    let (facts, _) = measure(&prepared, x);
    gradient(&prepared, &facts, x)
}

fn gradient(prepared: &ModelProto, facts: &TensorFacts, x: &[f32]) -> Result<Vec<f32>, Error> {
    let request = Differentiate {
        of: "scores",
        with_respect_to: &["layer"],
        grad_output: GradOutput::Component(0),
    };
    let with_gradient = differentiate(prepared, facts, &request)?;
    let outputs = run(&mut session(&with_gradient), x, SIZE).expect("a run");
    Ok(floats(&outputs, &gradient_name("layer")).to_vec())
}

/// The facts of a model, and whether it takes batches. Shapes are those of a batch of 2 if it does:
/// the gradient is computed for one image nevertheless.
pub(crate) fn measure(prepared: &ModelProto, x: &[f32]) -> (TensorFacts, bool) {
    let probe = shape_probe(prepared, "x");
    let mut session = session(&probe.model);
    let mut other = x.to_vec();
    other.reverse();
    let alone = run(&mut session, x, SIZE).expect("a run");
    let second = run(&mut session, &other, SIZE).expect("a run");
    let both = run(&mut session, &[x, &other].concat(), SIZE).ok();
    let joined = [floats(&alone, "scores"), floats(&second, "scores")].concat();
    let (outputs, takes_batches) = match both {
        Some(both) if is_close(floats(&both, "scores"), &joined) => (both, true),
        _ => (alone, false),
    };
    let integers = outputs.into_iter().filter_map(|(name, output)| match output {
        Output::Integers(values) => Some((name, values)),
        Output::Floats(_) => None,
    });
    (probe.facts(integers), takes_batches)
}

/// Holds the outputs of the prepared model against those of the original.
fn same_outputs(original: &ModelProto, prepared: &ModelProto, x: &[f32]) {
    let [expected, found] =
        [original, prepared].map(|model| run(&mut session(model), x, SIZE).expect("a run"));
    for name in expected.keys() {
        let (found, expected) = (floats(&found, name), floats(&expected, name));
        assert!(is_close(found, expected), "{name} is {found:?} instead of {expected:?}");
    }
}

pub(crate) fn floats<'a>(outputs: &'a HashMap<String, Output>, name: &str) -> &'a [f32] {
    match outputs.get(name) {
        Some(Output::Floats(values)) => values,
        other => panic!("output {name} is {other:?}"),
    }
}

fn is_close(found: &[f32], expected: &[f32]) -> bool {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let is_same = |(a, b): (&f32, &f32)| {
        (a - b).abs() <= SAME_OUTPUTS * largest || a == b || (a.is_nan() && b.is_nan())
    };
    found.len() == expected.len() && found.iter().zip(expected).all(is_same)
}
