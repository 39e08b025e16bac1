//! The cache of passes: no pass of the same image runs twice, and no result changes by it.

use camlens::app::ExplainOptions;
use std::cell::Cell;

use camlens::engine::{CancellationToken, MaskedPasses, Model, Settings};
use camlens::explain::{Convention, Method, Passes};
use ndarray::{Array4, ArrayViewMut2};

use crate::support::{dialect, dialect_with, explain, max_abs, modular_pattern, settings};

/// A cache in which every pass of a test fits.
const AMPLE_BYTES: usize = 1 << 24;

fn model(cache_bytes: usize) -> Model {
    dialect_with("tinyvgg-torchscript", [64, 64], &Settings { cache_bytes, ..settings() })
}

fn input(seed: usize) -> Array4<f32> {
    modular_pattern([64, 64], seed)
}

fn options(method: Method, target: Option<usize>) -> ExplainOptions {
    ExplainOptions {
        method,
        target: target.map(|class| class.to_string()),
        ..ExplainOptions::default()
    }
}

/// The numbers of forward and masked passes that an explanation runs. Its map must be the one of a
/// model whose cache is empty.
fn passes(model: &Model, options: &ExplainOptions) -> (usize, usize) {
    let found = explain(model, &input(0), options);
    let expected = explain(&dialect("tinyvgg-torchscript", [64, 64]), &input(0), options);
    let difference = max_abs(&(&found.map - &expected.map));
    assert!(difference < 1e-6 && !expected.empty, "{options:?} differs by {difference}");
    assert_eq!((found.target.index, &found.layer), (expected.target.index, &expected.layer));
    let Passes { forward, masked, skipped, .. } = found.passes;
    assert_eq!(masked + skipped, expected.passes.masked + expected.passes.skipped);
    (forward, masked)
}

#[test]
fn score_cam_of_another_class_runs_no_pass() {
    let model = model(AMPLE_BYTES);
    let (forward, masked) = passes(&model, &options(Method::ScoreCam, None));
    assert!(forward == 1 && masked > model.batch());
    for target in [None, Some(0), Some(7)] {
        assert_eq!(passes(&model, &options(Method::ScoreCam, target)), (0, 0));
    }
    let some = ExplainOptions { max_channels: Some(4), ..options(Method::ScoreCam, None) };
    assert_eq!(passes(&model, &some), (0, 0));
    let again = explain(&model, &input(0), &options(Method::ScoreCam, None));
    assert_eq!(again.map, explain(&model, &input(0), &options(Method::ScoreCam, None)).map);
}

#[test]
fn layers_share_cached_passes_whether_alone_or_together() {
    let with = |layer: &str| ExplainOptions {
        layer: Some(layer.into()),
        ..options(Method::GradCam, Some(3))
    };
    let together = model(AMPLE_BYTES);
    assert_eq!(passes(&together, &with("features.22,features.29")), (1, 0));
    for layer in ["features.22", "features.29", "features.29,features.22"] {
        assert_eq!(passes(&together, &with(layer)), (0, 0));
    }
    let alone = model(AMPLE_BYTES);
    for (layer, forward) in [("features.22", 1), ("features.29", 1), ("features.22,features.29", 0)]
    {
        assert_eq!(passes(&alone, &with(layer)), (forward, 0));
    }
}

/// The conventions `paper` and `article` make the same mask of a channel whose lowest value is 0.
#[test]
fn conventions_share_the_passes_that_they_have_in_common() {
    let model = model(AMPLE_BYTES);
    let with = |convention| ExplainOptions { convention, ..options(Method::ScoreCam, Some(3)) };
    let (_, paper) = passes(&model, &with(Convention::Paper));
    let (forward, article) = passes(&model, &with(Convention::Article));
    assert!(forward == 0 && article < paper, "{article} of {paper}");
    // Here the corners of map and image coincide, so no mask is the same.
    let (forward, library) = passes(&model, &with(Convention::PytorchGradCam));
    assert!(forward == 0 && library >= paper, "{library} of {paper}");
}

#[test]
fn methods_share_the_forward_pass_of_the_image() {
    let model = model(AMPLE_BYTES);
    let predicted = explain(&model, &input(0), &options(Method::GradCam, None)).target.index;
    assert_eq!(passes(&model, &options(Method::GradCamPlusPlus, None)), (0, 0));
    assert_eq!(passes(&model, &options(Method::GradCam, Some(predicted))), (0, 0));
    let other = (predicted + 1) % 10;
    assert_eq!(passes(&model, &options(Method::GradCam, Some(other))), (1, 0));
    assert_eq!(passes(&model, &options(Method::GradCam, Some(other))), (0, 0));
    // The article differentiates the probability, which needs a pass of its own.
    let article =
        ExplainOptions { convention: Convention::Article, ..options(Method::GradCam, None) };
    assert_eq!(passes(&model, &article), (1, 0));
    assert_eq!(passes(&model, &options(Method::ScoreCam, None)).0, 0);
    assert!(model.forward(input(0), &CancellationToken::default()).unwrap().from_cache);
    assert!(!model.forward(input(1), &CancellationToken::default()).unwrap().from_cache);
}

#[test]
fn the_gradients_of_several_classes_are_cached_one_by_one() {
    let model = model(AMPLE_BYTES);
    let with = |target: &str| ExplainOptions {
        target: Some(target.into()),
        ..options(Method::LayerCam, None)
    };
    assert_eq!(passes(&model, &with("3,5,8")), (1, 0));
    for cached in ["5", "8,3", "5,3,8"] {
        assert_eq!(passes(&model, &with(cached)), (0, 0), "{cached}");
    }
    assert_eq!(passes(&model, &with("3,4")), (1, 0));
}

#[test]
fn another_image_or_layer_shares_nothing() {
    let model = model(AMPLE_BYTES);
    let first = explain(&model, &input(0), &options(Method::ScoreCam, None));
    let other = explain(&model, &input(1), &options(Method::ScoreCam, None));
    assert!(other.passes.forward == 1 && other.passes.masked > 0 && other.map != first.map);
    let earlier = model.layers()[0].name.clone();
    assert_eq!(
        passes(&model, &ExplainOptions { layer: Some(earlier), ..options(Method::GradCam, None) }),
        (1, 0)
    );
}

#[test]
fn masks_whose_scores_are_cached_are_not_made() {
    let model = model(AMPLE_BYTES);
    let made = Cell::new(0);
    let ask = |set: &str| {
        made.set(0);
        let mask = |k: usize, mut out: ArrayViewMut2<'_, f32>| {
            made.set(made.get() + 1);
            out.fill(0.1 * (k + 1) as f32);
        };
        let (image, cancellation) = (input(0), CancellationToken::default());
        let passes = MaskedPasses::new(&model, &image, &cancellation);
        let found = passes.masks(5, mask).mask_set(set).run().unwrap();
        (found.ran, made.get(), found.scores)
    };
    let (ran, made, scores) = ask("five greys");
    assert_eq!((ran, made), (5, 5));
    assert_eq!(ask("five greys"), (0, 0, scores.clone()));
    // Under another name, the masks must be made before they are recognised.
    assert_eq!(ask("the same greys"), (0, 5, scores.clone()));
    assert_eq!(ask("the same greys"), (0, 0, scores));
}

#[test]
fn passes_that_do_not_fit_the_cache_run_again() {
    // There is room for some of the masked passes, and for no activation.
    let model = model(2000);
    let first = passes(&model, &options(Method::ScoreCam, None));
    let second = passes(&model, &options(Method::ScoreCam, None));
    assert_eq!(first.0, 1);
    assert!(second.0 == 1 && second.1 > 0 && second.1 <= first.1, "{second:?} of {first:?}");
    let off = self::model(0);
    assert_eq!(passes(&off, &options(Method::ScoreCam, None)), first);
    assert_eq!(passes(&off, &options(Method::ScoreCam, None)), first);
}
