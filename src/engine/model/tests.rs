//! Passes side by side.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::Array4;

use super::*;
use crate::engine::runtime::Runtime;
use crate::engine::session::RunInputs;
use crate::engine::settings::Settings;
use crate::engine::turns::{JobClass, Share};
use crate::engine::{CancellationToken, InWork, ModelRegistry, PassOutput, PassRequest};
use crate::graph::program_io::GradientOf;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn settings() -> Settings {
    Settings {
        runtime: Some(repository("runtime/libonnxruntime.so")),
        threads: Some(2),
        side_by_side: Some(2),
        ..Settings::default()
    }
}

fn tiny(settings: &Settings) -> Model {
    let file = repository("tests/golden/dialects/tinyvgg-torchscript.onnx");
    ModelRegistry::load_one(ModelFolder::from_onnx_file(&file).unwrap(), settings).unwrap()
}

/// A pass with gradients of a pattern that has no equal values.
fn pass(model: &Model) -> PassRequest {
    let [a, b, c] = model.preprocess.shape();
    let input = Array4::from_shape_fn((1, a, b, c), |(_, i, j, k)| {
        ((i * 7919 + j * 104_729 + k * 1299) % 1009) as f32 / 1009.0 - 0.5
    });
    PassRequest { gradient_of: GradientOf::Logit, activation: true, ..PassRequest::new(input) }
}

/// A token that ends what would wait for ever.
fn patient() -> CancellationToken {
    CancellationToken::new(Some(Instant::now() + Duration::from_secs(60)))
}

fn impatient() -> CancellationToken {
    CancellationToken::new(Some(Instant::now() + Duration::from_millis(200)))
}

fn two_requests(model: &Model) -> [InWork; 2] {
    [(); 2].map(|()| model.turns.begin(JobClass::Short))
}

fn bits(output: &PassOutput) -> Vec<u32> {
    let arrays = output.gradients.iter().chain(&output.activation).flatten();
    arrays.chain(&output.scores).chain(&output.probabilities).map(|value| value.to_bits()).collect()
}

#[test]
fn a_pass_ends_while_another_one_has_its_turn() {
    let model = tiny(&settings());
    let _requests = two_requests(&model);
    let other = model.turns.take(&patient(), true).unwrap();
    assert_eq!(other.share(), Share::Part(0));
    let layer = model.default_layer();
    assert!(model.run(layer, pass(&model), &patient()).is_ok());
    // What only the model's thread runs needs all threads: another layer, a batch.
    let other_layer = &model.layers()[0];
    assert_ne!(other_layer, layer);
    assert!(model.run(other_layer, pass(&model), &impatient()).is_err());
    let [_, a, b, c] = *pass(&model).input.shape() else { unreachable!("four axes") };
    let batch = Array4::zeros((2, a, b, c));
    assert!(model.forward(batch.clone(), &impatient()).is_err());
    drop(other);
    assert!(model.run(other_layer, pass(&model), &patient()).is_ok());
    assert!(model.forward(batch, &patient()).is_ok());
}

#[test]
fn a_lone_pass_runs_in_the_session_with_all_threads() {
    let model = tiny(&settings());
    let _request = model.turns.begin(JobClass::Short);
    let other = model.turns.take(&patient(), true).unwrap();
    assert_eq!(other.share(), Share::All);
    assert!(model.run(model.default_layer(), pass(&model), &impatient()).is_err());
}

#[test]
fn side_by_side_may_be_switched_off() {
    let model = tiny(&Settings { side_by_side: Some(1), ..settings() });
    assert!(!model.side_sessions.serves(None, &model.default_layer().tensor));
    let _requests = two_requests(&model);
    assert_eq!(model.turns.take(&patient(), true).unwrap().share(), Share::All);
}

#[test]
fn every_session_gives_the_same_digits() {
    let model = tiny(&settings());
    let expected = bits(&model.run(model.default_layer(), pass(&model), &patient()).unwrap());
    for part in 0..2 {
        let inputs = pass(&model).into();
        let found = model.side_sessions.run(part, &inputs, &patient()).unwrap();
        assert!(bits(&found[0]) == expected, "part {part}");
    }
}

/// Of real models, however long their passes take.
#[test]
fn the_number_of_threads_changes_no_digit() {
    for id in ["efficientnet-lite0", "vgg16-mri"] {
        let runtime = Runtime::load(&settings()).unwrap();
        let [expected, found] = [2, 1].map(|threads| {
            let folder = ModelFolder::read(&repository("models").join(id)).unwrap();
            let (cache, turns) = (Cache::new(0), Turns::new(1, 0));
            let settings = Settings { side_by_side: Some(1), ..settings() };
            let runtime = runtime.with_threads(threads);
            let model = Model::load(folder, &runtime, &settings, cache, turns).unwrap();
            bits(&model.run(model.default_layer(), pass(&model), &patient()).unwrap())
        });
        assert!(expected == found, "{id}");
    }
}

/// A request that is cancelled stops its own session, and leaves it usable.
#[test]
fn a_cancelled_pass_leaves_its_session_and_its_turn_to_the_next_one() {
    let model = tiny(&settings());
    let _requests = two_requests(&model);
    let token = CancellationToken::default();
    token.cancel(crate::engine::Reason::ClientDisconnected);
    let inputs = RunInputs::from(pass(&model));
    let error = model.side_sessions.run(0, &inputs, &token).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(model.side_sessions.run(0, &inputs, &patient()).is_ok());
    assert!(model.run(model.default_layer(), pass(&model), &token).is_err());
    assert_eq!(model.turns.take(&patient(), true).unwrap().share(), Share::Part(0));
}
