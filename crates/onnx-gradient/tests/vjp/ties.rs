//! Ties have no derivative, so finite differences cannot decide them: the expected values are those
//! of the frameworks. PyTorch 2.15 gives `amax` of `[[1, 3], [3, 0]]` the gradient
//! `[[0, ½], [½, 0]]`, `maximum` of two equal values ½ each, and `max_pool2d` `[[0, 1], [0, 0]]`.
//! TensorFlow's `reduce_max`, which Keras's global pooling calls, divides by the number of equal
//! values as well (`_MinOrMaxGrad` in its `math_grad.py`).

use crate::cases::{ELEMENTS, HEIGHT, WIDTH};
use crate::finite_differences::gradient_of;
use crate::network::{Network, int, ints};

/// A name, and the network of that name.
type Form = (&'static str, fn(&mut Network) -> String);

const POSITIONS: usize = HEIGHT * WIDTH;

/// A dead channel, one with its maximum at positions 7 and 22, and one with a single maximum at 11.
fn tied() -> Vec<f32> {
    let mut x = vec![0.0; ELEMENTS];
    (x[POSITIONS + 7], x[POSITIONS + 22]) = (3.0, 3.0);
    x[2 * POSITIONS + 11] = 2.0;
    x
}

/// The weight of element `index` in the score.
fn weight(index: usize) -> f32 {
    (1.7 * index as f32 + 0.3).sin()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-6, "{what}, {index}: {found}, not {expected}");
    }
}

#[test]
fn every_form_of_a_global_maximum_shares_ties_evenly() {
    let x = tied();
    let expected: Vec<f32> = (0..ELEMENTS)
        .map(|index| {
            let channel = index / POSITIONS;
            let (largest, count) = [(0.0, POSITIONS), (3.0, 2), (2.0, 1)][channel];
            if x[index] == largest { weight(channel) / count as f32 } else { 0.0 }
        })
        .collect();
    let forms: [Form; 4] = [
        ("GlobalMaxPool", |n| n.op("GlobalMaxPool", &["layer"])),
        ("ReduceMax over two axes", |n| {
            let axes = n.int64s(&[2, 3]);
            n.op("ReduceMax", &["layer", &axes])
        }),
        ("ReduceMax over the flattened map", |n| {
            let (rows, axes) = (n.int64s(&[0, 3, -1]), n.int64s(&[-1]));
            let rows = n.op("Reshape", &["layer", &rows]);
            n.op_with("ReduceMax", &[&rows, &axes], [int("keepdims", 0)])
        }),
        ("ReduceMin of the negative", |n| {
            let axes = n.int64s(&[2, 3]);
            let negative = n.op("Neg", &["layer"]);
            let smallest = n.op("ReduceMin", &[&negative, &axes]);
            n.op("Neg", &[&smallest])
        }),
    ];
    for (what, form) in forms {
        assert_close(&gradient_of(&x, form).expect("a gradient"), &expected, what);
    }
}

#[test]
fn a_window_of_max_pooling_passes_the_gradient_to_its_first_maximum() {
    let x = tied();
    let found =
        gradient_of(&x, |n| n.op_with("MaxPool", &["layer"], [ints("kernel_shape", &[6, 5])]));
    let mut expected = vec![0.0; ELEMENTS];
    expected[0] = weight(0);
    expected[POSITIONS + 7] = weight(1);
    expected[2 * POSITIONS + 11] = weight(2);
    assert_close(&found.expect("a gradient"), &expected, "MaxPool");
}

#[test]
fn equal_inputs_of_a_maximum_share_the_gradient() {
    let x = tied();
    let found = gradient_of(&x, |n| {
        let three = n.scalar(3.0);
        n.op("Max", &["layer", &three])
    });
    let share = |index| if x[index] == 3.0 { weight(index) / 2.0 } else { 0.0 };
    let expected: Vec<f32> = (0..ELEMENTS).map(share).collect();
    assert_close(&found.expect("a gradient"), &expected, "Max");
}
