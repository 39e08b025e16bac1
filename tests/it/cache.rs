//! Equal work once: what is known of an image is not computed again, and changes no answer.

use std::cell::Cell;

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, MaskedInput, Model, Settings, masked_passes};
use camlens::explain::options::{Convention, Method, Options};
use camlens::explain::{Explanation, Passes};
use ndarray::Array4;

use crate::support::{dialect, dialect_with, settings};

fn model(cache_bytes: usize) -> Model {
    dialect_with("tinyvgg-torchscript", [64, 64], &Settings { cache_bytes, ..settings() })
}

fn picture(seed: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, 64, 64), |(_, c, y, x)| {
        ((c * 7 + y * 3 + x * 5 + seed) % 11) as f32 / 11.0
    })
}

fn asked(method: Method, target: Option<usize>) -> Options {
    Options { method, target: target.map(|class| class.to_string()), ..Options::default() }
}

fn explain(model: &Model, image: &Array4<f32>, options: &Options) -> Explanation {
    let methods = [options.method];
    explain_input(model, image, &methods, options, &CancellationToken::default(), &|_, _| {})
        .unwrap()
        .remove(0)
}

/// The passes that ran; the map is that of a model that knows nothing.
fn passes(model: &Model, options: &Options) -> (usize, usize) {
    let found = explain(model, &picture(0), options);
    let expected = explain(&dialect("tinyvgg-torchscript", [64, 64]), &picture(0), options);
    let difference =
        (&found.map - &expected.map).fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(difference < 1e-6 && !expected.empty, "{options:?} differs by {difference}");
    assert_eq!((found.target.index, &found.layer), (expected.target.index, &expected.layer));
    let Passes { forward, masked, skipped, .. } = found.passes;
    assert_eq!(masked + skipped, expected.passes.masked + expected.passes.skipped);
    (forward, masked)
}

#[test]
fn score_cam_of_another_class_costs_nothing() {
    let model = model(1 << 24);
    let (forward, masked) = passes(&model, &asked(Method::ScoreCam, None));
    assert!(forward == 1 && masked > model.batch());
    for target in [None, Some(0), Some(7)] {
        assert_eq!(passes(&model, &asked(Method::ScoreCam, target)), (0, 0));
    }
    let some = Options { max_channels: Some(4), ..asked(Method::ScoreCam, None) };
    assert_eq!(passes(&model, &some), (0, 0));
    let again = explain(&model, &picture(0), &asked(Method::ScoreCam, None));
    assert_eq!(again.map, explain(&model, &picture(0), &asked(Method::ScoreCam, None)).map);
}

#[test]
fn layers_alone_and_together_share_what_is_known() {
    let of = |layer: &str| Options { layer: Some(layer.into()), ..asked(Method::GradCam, Some(3)) };
    let together = model(1 << 24);
    assert_eq!(passes(&together, &of("features.22,features.29")), (1, 0));
    for layer in ["features.22", "features.29", "features.29,features.22"] {
        assert_eq!(passes(&together, &of(layer)), (0, 0));
    }
    let alone = model(1 << 24);
    for (layer, forward) in [("features.22", 1), ("features.29", 1), ("features.22,features.29", 0)]
    {
        assert_eq!(passes(&alone, &of(layer)), (forward, 0));
    }
}

/// A mask whose lowest value is 0 is the same by the paper and by the article.
#[test]
fn conventions_share_the_passes_that_they_have_in_common() {
    let model = model(1 << 24);
    let of = |convention| Options { convention, ..asked(Method::ScoreCam, Some(3)) };
    let (_, paper) = passes(&model, &of(Convention::Paper));
    let (forward, article) = passes(&model, &of(Convention::Article));
    assert!(forward == 0 && article < paper, "{article} of {paper}");
    // There the corners of map and image coincide: no mask is the same.
    let (forward, library) = passes(&model, &of(Convention::PytorchGradCam));
    assert!(forward == 0 && library >= paper, "{library} of {paper}");
}

#[test]
fn methods_share_the_image_s_own_pass() {
    let model = model(1 << 24);
    let predicted = explain(&model, &picture(0), &asked(Method::GradCam, None)).target.index;
    assert_eq!(passes(&model, &asked(Method::GradCamPlusPlus, None)), (0, 0));
    assert_eq!(passes(&model, &asked(Method::GradCam, Some(predicted))), (0, 0));
    let other = (predicted + 1) % 10;
    assert_eq!(passes(&model, &asked(Method::GradCam, Some(other))), (1, 0));
    assert_eq!(passes(&model, &asked(Method::GradCam, Some(other))), (0, 0));
    // The gradient of a probability is another one.
    let article = Options { convention: Convention::Article, ..asked(Method::GradCam, None) };
    assert_eq!(passes(&model, &article), (1, 0));
    assert_eq!(passes(&model, &asked(Method::ScoreCam, None)).0, 0);
    assert!(model.forward(picture(0), &CancellationToken::default()).unwrap().from_cache);
    assert!(!model.forward(picture(1), &CancellationToken::default()).unwrap().from_cache);
}

#[test]
fn several_classes_are_known_one_by_one() {
    let model = model(1 << 24);
    let of =
        |target: &str| Options { target: Some(target.into()), ..asked(Method::LayerCam, None) };
    assert_eq!(passes(&model, &of("3,5,8")), (1, 0));
    for known in ["5", "8,3", "5,3,8"] {
        assert_eq!(passes(&model, &of(known)), (0, 0), "{known}");
    }
    assert_eq!(passes(&model, &of("3,4")), (1, 0));
}

#[test]
fn another_image_or_layer_shares_nothing() {
    let model = model(1 << 24);
    let known = explain(&model, &picture(0), &asked(Method::ScoreCam, None));
    let other = explain(&model, &picture(1), &asked(Method::ScoreCam, None));
    assert!(other.passes.forward == 1 && other.passes.masked > 0 && other.map != known.map);
    let earlier = model.layers()[0].name.clone();
    assert_eq!(
        passes(&model, &Options { layer: Some(earlier), ..asked(Method::GradCam, None) }),
        (1, 0)
    );
}

#[test]
fn masks_whose_answers_are_known_are_not_even_made() {
    let model = model(1 << 24);
    let made = Cell::new(0);
    let ask = |set: &str| {
        made.set(0);
        let mask = |k: usize, mut out: ndarray::ArrayViewMut2<'_, f32>| {
            made.set(made.get() + 1);
            out.fill(0.1 * (k + 1) as f32);
        };
        let answers = masked_passes(
            &model,
            MaskedInput { image: &picture(0), backdrop: None },
            set,
            5,
            mask,
            &CancellationToken::default(),
            &|_, _| Ok(std::ops::ControlFlow::Continue(())),
        )
        .unwrap();
        (answers.ran, made.get(), answers.scores)
    };
    let (ran, made, scores) = ask("five greys");
    assert_eq!((ran, made), (5, 5));
    assert_eq!(ask("five greys"), (0, 0, scores.clone()));
    // By another name they have to be made to be known.
    assert_eq!(ask("the same greys"), (0, 5, scores.clone()));
    assert_eq!(ask("the same greys"), (0, 0, scores));
}

#[test]
fn what_does_not_fit_is_computed_again() {
    // Room for some of the masked passes, and for no activation.
    let model = model(2000);
    let first = passes(&model, &asked(Method::ScoreCam, None));
    let second = passes(&model, &asked(Method::ScoreCam, None));
    assert_eq!(first.0, 1);
    assert!(second.0 == 1 && second.1 > 0 && second.1 <= first.1, "{second:?} of {first:?}");
    let off = self::model(0);
    assert_eq!(passes(&off, &asked(Method::ScoreCam, None)), first);
    assert_eq!(passes(&off, &asked(Method::ScoreCam, None)), first);
}
