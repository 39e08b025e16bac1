//! A gradient that would be incomplete is an error, never a gradient.

use onnx_gradient::Error;

use crate::cases::{image, tokens};
use crate::finite_differences::gradient_of;
use crate::network::{Network, int};

fn error(build: fn(&mut Network) -> String) -> Error {
    gradient_of(&image((-1.0, 1.0)), build).expect_err("no gradient")
}

#[test]
fn a_score_that_reads_the_mean_of_a_layer_normalization_is_unsupported() {
    let error = error(|n| {
        let (x, scale) = (tokens(n), n.weights(&[15]));
        let normal = n.op("LayerNormalization", &[&x, &scale]);
        let mean = format!("{normal}/mean");
        n.nodes.last_mut().expect("a node").output.extend([String::new(), mean.clone()]);
        n.add(&normal, &mean)
    });
    let Error::Unsupported { op, reason, .. } = error else { panic!("{error}") };
    let expected = ("LayerNormalization", "receives a gradient at an output other than its first");
    assert_eq!((op.as_str(), reason.as_str()), expected);
}

#[test]
fn an_operator_without_a_vjp_is_named() {
    let error = error(|n| {
        let (indices, depth) = (n.int64s(&[0, 2]), n.int64(3));
        let (one, row) = (n.int64s(&[1]), n.int64s(&[1, 6]));
        let mean = n.op("ReduceMean", &["layer"]);
        let mean = n.op("Reshape", &[&mean, &one]);
        let both = n.op_with("Concat", &[&mean, &mean], [int("axis", 0)]);
        let one_hot = n.op("OneHot", &[&indices, &depth, &both]);
        n.op("Reshape", &[&one_hot, &row])
    });
    assert!(matches!(&error, Error::NoVjp { op, .. } if op == "OneHot"), "{error}");
}

#[test]
fn a_pad_value_that_depends_on_the_layer_has_no_rule() {
    let error = error(|n| {
        let (pads, one) = (n.int64s(&[0, 0, 1, 1, 0, 0, 1, 1]), n.int64s(&[1]));
        let mean = n.op("ReduceMean", &["layer"]);
        let mean = n.op("Reshape", &[&mean, &one]);
        n.op("Pad", &["layer", &pads, &mean])
    });
    let is_expected = matches!(&error, Error::NoVjpForInput { op, index: 2, .. } if op == "Pad");
    assert!(is_expected, "{error}");
}

#[test]
fn a_batch_normalization_scale_that_depends_on_the_layer_has_no_rule() {
    let error = error(|n| {
        let (statistics, three) = (n.positive(&[3]), n.int64s(&[3]));
        let scale = n.op("GlobalAveragePool", &["layer"]);
        let scale = n.op("Reshape", &[&scale, &three]);
        n.op("BatchNormalization", &["layer", &scale, &statistics, &statistics, &statistics])
    });
    let is_expected =
        matches!(&error, Error::NoVjpForInput { op, index: 1, .. } if op == "BatchNormalization");
    assert!(is_expected, "{error}");
}

#[test]
fn attention_with_a_cache_has_no_vjp() {
    let error = error(|n| {
        let attended = n.op("Attention", &["layer", "layer", "layer", "", "layer", "layer"]);
        let present = ["key", "value"].map(|what| format!("{attended}/{what}"));
        n.nodes.last_mut().expect("a node").output.extend(present);
        attended
    });
    assert_eq!(error.to_string(), "operator Attention (node 't2') has no vjp");
}
