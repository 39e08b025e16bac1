//! What can be differentiated, by what, and in which direction.

use onnx_gradient::proto::{ModelProto, TensorProto};
use onnx_gradient::{Differentiate, GradOutput, differentiate, prepare};

use crate::cases::{HEIGHT, WIDTH, image, model};
use crate::finite_differences::{SIZE, STEP, TOLERANCE, floats, measure};
use crate::network::Network;
use crate::runtime::{run, run_with, session};

/// The name of the weights of [`weighted`].
const WEIGHTS: &str = "weights";
/// Three weights, one a channel.
const VALUES: [f32; 3] = [0.7, -0.4, 1.1];

/// `sin(layer · weights)`.
fn weighted(values: &[f32; 3]) -> ModelProto {
    model(|n: &mut Network| {
        n.initializers.push(TensorProto::float32(WEIGHTS, &[3, 1, 1], values));
        let product = n.mul("layer", WEIGHTS);
        n.op("Sin", &[&product])
    })
}

fn with_gradient(with_respect_to: &[&str], grad_output: GradOutput<'_>) -> ModelProto {
    let prepared = prepare(&weighted(&VALUES)).expect("a model that can be prepared");
    let (facts, _) = measure(&prepared, &image((-1.0, 1.0)));
    let request = Differentiate { of: "scores", with_respect_to, grad_output };
    differentiate(&prepared, &facts, &request).expect("gradients")
}

#[test]
fn the_gradient_by_an_initializer_agrees_with_finite_differences() {
    let x = image((-1.0, 1.0));
    let model = with_gradient(&[WEIGHTS, "x"], GradOutput::Component(0));
    let outputs = run(&mut session(&model), &x, SIZE).expect("a run");
    let found = floats(&outputs, "gradient/weights");
    assert_eq!(floats(&outputs, "gradient/x").len(), x.len());

    let score = |index: usize, by: f32| {
        let mut values = VALUES;
        values[index] += by;
        let outputs = run(&mut session(&weighted(&values)), &x, SIZE).expect("a run");
        floats(&outputs, "scores")[0]
    };
    let expected = [0, 1, 2].map(|index| (score(index, STEP) - score(index, -STEP)) / (2.0 * STEP));
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= TOLERANCE * largest, "{found}, not {expected}");
    }
}

#[test]
fn a_direction_at_run_time_gives_the_gradient_of_the_component_that_it_selects() {
    let x = image((-1.0, 1.0));
    let mut by_input = session(&with_gradient(&["layer"], GradOutput::Input("direction")));
    for component in [0, 1] {
        let model = with_gradient(&["layer"], GradOutput::Component(component));
        let expected = run(&mut session(&model), &x, SIZE).expect("a run");
        let mut direction = [0.0; 2];
        direction[component] = 1.0;
        let inputs: [(&str, &[usize], &[f32]); 2] =
            [("x", &[1, 3, HEIGHT, WIDTH], &x), ("direction", &[1, 2], &direction)];
        let found = run_with(&mut by_input, &inputs).expect("a run");
        assert_eq!(floats(&found, "gradient/layer"), floats(&expected, "gradient/layer"));
    }
}

#[test]
fn ones_give_the_gradient_of_the_sum_of_all_components() {
    // The second score is the negative of the first, so the sum is constant.
    let model = with_gradient(&["layer"], GradOutput::Ones);
    let outputs = run(&mut session(&model), &image((-1.0, 1.0)), SIZE).expect("a run");
    assert!(floats(&outputs, "gradient/layer").iter().all(|&value| value == 0.0));
}
