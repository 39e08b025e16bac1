//! The vjps with camlens's own kernels.
//!
//! `onnx-gradient` compares every vjp with finite differences, in the runtime's own operators. Here
//! the same networks are loaded by the engine, which replaces parts of the gradient graph by
//! operators of its own.

/// Declares a table of cases.
macro_rules! cases {
    ($(($name:ident, $op:literal, $low:expr, $high:expr, $build:expr)),* $(,)?) => {
        pub(crate) const CASES: &[super::Case] = &[$(
            super::Case {
                name: stringify!($name),
                op: $op,
                range: ($low, $high),
                build: $build,
            }
        ),*];
    };
}

#[path = "../../crates/onnx-gradient/tests/vjp/cases/mod.rs"]
mod cases;
#[path = "../../crates/onnx-gradient/tests/vjp/qoperator.rs"]
mod qoperator;

use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest, Settings};
use camlens::graph::program_io::GradientOf;
use camlens::model::ModelFolder;
use ndarray::Array4;
use prost::Message;

use self::cases::{Case, HEIGHT, WIDTH, image, model};
use crate::net as network;
use crate::net::Net;
use crate::support::{relative_difference, settings};

/// Largest difference between the gradients of camlens's kernels and of the runtime's, relative to
/// the largest element. They differ by rounding alone.
const SAME: f32 = 1e-5;

/// The model of a network, with `layer` as its default layer.
fn load(build: impl FnOnce(&mut Net) -> String) -> Model {
    load_with(&settings(), build)
}

fn load_with(settings: &Settings, build: impl FnOnce(&mut Net) -> String) -> Model {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("case.onnx"), model(build).encode_to_vec())
        .expect("the model");
    let manifest = "file = \"case.onnx\"\ndefault_layer = \"probe\"\n\
                    [layers]\nprobe = \"layer\"\n[output]\nname = \"scores\"\n";
    std::fs::write(folder.path().join("model.toml"), manifest).expect("a manifest");
    ModelRegistry::load_one(ModelFolder::read(folder.path()).expect("the folder"), settings)
        .expect("a model")
}

/// The gradient of the score by the layer.
fn differentiate(model: &Model, x: &[f32]) -> Array4<f32> {
    assert_eq!(model.gradient_unsupported_reason(model.default_layer()), None);
    let x = Array4::from_shape_vec((1, 3, HEIGHT, WIDTH), x.to_vec()).expect("one image");
    let pass = PassRequest {
        targets: vec![0],
        gradient_of: GradientOf::Logit,
        activation: true,
        ..PassRequest::new(x)
    };
    model
        .run(model.default_layer(), pass, &CancellationToken::default())
        .expect("a pass")
        .gradients
        .remove(0)
}

/// The gradient of a network's score by its layer at `x`, or why there is none.
fn gradient_of(x: &[f32], build: impl FnOnce(&mut Net) -> String) -> Result<Vec<f32>, String> {
    let model = load(build);
    match model.gradient_unsupported_reason(model.default_layer()) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(differentiate(&model, x).into_iter().collect()),
    }
}

/// Compares the gradient with camlens's kernels to the one without.
fn compare_kernels(case: &Case) {
    let x = image(case.range);
    let plain = Settings { fast_kernels: false, ..settings() };
    let [found, plain] = [settings(), plain]
        .map(|settings| differentiate(&load_with(&settings, case.build), &x).into_dyn());
    let difference = relative_difference(&found, &plain);
    assert!(difference <= SAME, "{} ({}): {difference}", case.name, case.op);
}

#[test]
fn the_kernels_change_no_gradient() {
    let failed = |case: &&Case| std::panic::catch_unwind(|| compare_kernels(case)).is_err();
    let failed: Vec<_> = cases::all().filter(failed).map(|case| case.name).collect();
    assert!(failed.is_empty(), "the messages above say what differs: {failed:?}");
}

#[test]
fn a_depthwise_convolution_is_fused_with_its_neighbours_in_the_gradient() {
    let joined = |name: &str| {
        let case = cases::all().find(|case| case.name == name).expect("a case of this name");
        load(case.build).fusion_report().conv_fused
    };
    assert_eq!(joined("conv_depthwise_between_activations"), 2);
    assert_eq!(joined("conv_depthwise_after_pooling"), 1);
}

#[test]
fn a_missing_gradient_is_explained_in_terms_of_the_layer() {
    let reason = gradient_of(&image((-1.0, 1.0)), |n| {
        let (pads, one) = (n.ints(&[0, 0, 1, 1, 0, 0, 1, 1]), n.ints(&[1]));
        let mean = n.op("ReduceMean", &["layer"]);
        let mean = n.op("Reshape", &[&mean, &one]);
        n.op("Pad", &["layer", &pads, &mean])
    });
    assert_eq!(
        reason.expect_err("no gradient"),
        "operator Pad (node 't6') has no vjp for its input 2, 't5', \
         which depends on the layer"
    );
}
