//! The engine under real use: turns, cancellation, deadlines, sessions that come and go.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, PassRequest, Reason};
use camlens::error::Kind;
use camlens::explain::options::{Method, Normalize, Options};
use camlens::explain::{Explanation, ProgressObserver};
use camlens::graph::explain_graph::GradientOf;
use ndarray::{Array4, Axis, concatenate};

use crate::support::{dialect, fetched};

fn picture(height: usize, width: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        ((c * 7 + y * 3 + x * 5) % 11) as f32 / 11.0
    })
}

fn score_cam() -> Options {
    Options { method: Method::ScoreCam, ..Options::default() }
}

#[test]
fn a_cancelled_score_cam_stops_before_its_next_batch() {
    let model = fetched("efficientnet-lite0");
    let cancel = CancellationToken::default();
    let (batches, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |_done: usize, all: usize| {
        total.store(all, Ordering::SeqCst);
        if batches.fetch_add(1, Ordering::SeqCst) == 1 {
            cancel.cancel(Reason::ClientGone);
        }
    };
    let input = picture(224, 224);
    let error =
        explain_input(&model, &input, &[Method::ScoreCam], &score_cam(), &cancel, &progress)
            .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(batches.load(Ordering::SeqCst), 2);
    assert!(total.load(Ordering::SeqCst) > 2 * model.batch());
    // The flag was the request's, not the model's: the next one is answered.
    model.forward(input, &CancellationToken::default()).unwrap();
}

/// Looks at every unfinished map.
#[derive(Default)]
struct Curious(Mutex<Vec<Explanation>>);

impl ProgressObserver for Curious {
    fn progress(&self, method: Method, done: usize, of: usize) {
        assert!(method == Method::ScoreCam && done <= of);
    }

    fn wants_partial(&self) -> bool {
        true
    }

    fn partial(&self, unfinished: &Explanation, done: usize, of: usize) {
        assert!(unfinished.passes.masked == done && done < of);
        self.0.lock().unwrap().push(unfinished.clone());
    }
}

/// Every pass adds a channel without negative numbers, weighed by a probability.
#[test]
fn a_map_grows_with_its_passes() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let options = Options { normalize: Some(Normalize::None), ..score_cam() };
    let curious = Curious::default();
    let methods = [Method::ScoreCam];
    let input = picture(64, 64);
    let finished =
        explain_input(&model, &input, &methods, &options, &CancellationToken::default(), &curious)
            .unwrap()
            .remove(0);
    let mut maps = curious.0.into_inner().unwrap();
    assert!(!maps.is_empty() && maps.len() == (finished.passes.masked - 1) / model.batch());
    maps.push(finished);
    for (index, pair) in maps.windows(2).enumerate() {
        assert_eq!(pair[0].passes.masked, (index + 1) * model.batch());
        assert!(pair[0].map.iter().zip(&pair[1].map).all(|(before, after)| before <= after));
        assert!(pair[0].max > 0.0 && pair[0].map != pair[1].map);
        assert_eq!(pair[0].target, pair[1].target);
    }
}

#[test]
fn a_pass_in_progress_is_stopped_between_two_kernels() {
    let model = fetched("vgg16-mri");
    let cancel = CancellationToken::default();
    // A batch that takes far longer than the thread that raises the flag: seconds,
    // for where an image is zero the kernels have nothing to compute.
    let input = Array4::from_shape_fn((48, 240, 240, 3), |(n, y, x, c)| {
        0.05 + ((n * 31 + y * 7 + x * 13 + c * 5) % 97) as f32 / 97.0
    });
    let raiser = cancel.clone();
    let error = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            raiser.cancel(Reason::Draining);
        });
        model.forward(input, &cancel).unwrap_err()
    });
    assert_eq!(error.kind(), Kind::Draining);
}

#[test]
fn a_deadline_stops_the_work() {
    let model = fetched("efficientnet-lite0");
    let cancel = CancellationToken::new(Some(Instant::now() + Duration::from_millis(400)));
    let input = picture(224, 224);
    let error =
        explain_input(&model, &input, &[Method::ScoreCam], &score_cam(), &cancel, &|_, _| {})
            .unwrap_err();
    assert_eq!(error.kind(), Kind::Deadline);
}

#[test]
fn a_short_request_gets_its_turn_between_two_batches_of_a_long_one() {
    let model = fetched("efficientnet-lite0");
    let (started, begun) = std::sync::mpsc::channel();
    let (done, all) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let progress = |passes: usize, total: usize| {
                done.store(passes, Ordering::SeqCst);
                all.store(total, Ordering::SeqCst);
                let _ = started.send(());
            };
            let input = picture(224, 224);
            explain_input(
                &model,
                &input,
                &[Method::ScoreCam],
                &score_cam(),
                &CancellationToken::default(),
                &progress,
            )
            .unwrap();
        });
        begun.recv().unwrap();
        model.forward(picture(224, 224), &CancellationToken::default()).unwrap();
        assert!(
            done.load(Ordering::SeqCst) < all.load(Ordering::SeqCst),
            "the short request waited for the long one"
        );
        long.join().unwrap();
    });
}

#[test]
fn more_layers_than_sessions_are_kept_all_answer() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let run = |layer: &camlens::graph::layers::Layer| {
        let pass = PassRequest {
            targets: vec![3],
            gradient_of: GradientOf::Logit,
            activation: true,
            ..PassRequest::of(picture(64, 64))
        };
        model.run(layer, pass, &CancellationToken::default()).unwrap().gradients.remove(0)
    };
    let first: Vec<_> = model.layers().iter().map(run).collect();
    let again: Vec<_> = model.layers().iter().map(run).collect();
    assert_eq!(first, again);
    for (layer, gradient) in model.layers().iter().zip(first) {
        assert_eq!(gradient.shape()[1..], layer.shape);
    }
}

/// They share a session, in which the layers have an order of their own.
#[test]
fn layers_may_be_named_in_any_order() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let run = |places: [usize; 3]| {
        let layers = places.map(|place| &model.layers()[place]);
        let pass = PassRequest {
            targets: vec![3],
            gradient_of: GradientOf::Logit,
            activation: true,
            ..PassRequest::of(picture(64, 64))
        };
        let outcomes = model.run_all(&layers, pass, &CancellationToken::default()).unwrap();
        for (outcome, layer) in outcomes.iter().zip(layers) {
            assert_eq!(outcome.gradients[0].shape()[1..], layer.shape);
        }
        outcomes.into_iter().map(|mut outcome| outcome.gradients.remove(0)).collect::<Vec<_>>()
    };
    let [first, second, third] = run([0, 2, 4]).try_into().unwrap();
    assert_eq!(run([4, 0, 2]), [third, first, second]);
}

/// For a batch, too, and of both scores: the loop's rounds don't touch each other.
#[test]
fn gradients_of_several_classes_are_those_of_each_alone() {
    let model = dialect("tinylite", [48, 48]);
    let batch = concatenate![Axis(0), picture(48, 48), picture(48, 48).mapv(|value| 1.0 - value)];
    for (wanted, contrast) in [(GradientOf::Logit, None), (GradientOf::Probability, Some(6))] {
        let run = |targets: &[usize]| {
            let pass = PassRequest {
                targets: targets.to_vec(),
                contrast,
                gradient_of: wanted,
                ..PassRequest::of(batch.clone())
            };
            model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap()
        };
        let together = run(&[2, 9, 4]).gradients;
        assert_eq!(together.len(), 3);
        for (gradient, class) in together.into_iter().zip([2, 9, 4]) {
            assert!(gradient.iter().any(|&value| value != 0.0));
            assert_eq!(vec![gradient], run(&[class]).gradients);
        }
    }
}

/// Each image of a batch has a predicted class of its own.
#[test]
fn a_pass_that_names_no_class_differentiates_the_predicted_one() {
    let model = dialect("tinylite", [48, 48]);
    // A plain one in each primary colour: nothing else differs so much.
    let batch =
        Array4::from_shape_fn((3, 3, 48, 48), |(n, c, _, _)| if n == c { 3.0 } else { -3.0 });
    let run = |targets: &[usize]| {
        let wanted = GradientOf::Logit;
        let pass = PassRequest {
            targets: targets.to_vec(),
            gradient_of: wanted,
            ..PassRequest::of(batch.clone())
        };
        model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap()
    };
    let outcome = run(&[]);
    assert_eq!(outcome.gradients.len(), 1);
    let mut classes = Vec::new();
    for (image, scores) in outcome.scores.outer_iter().enumerate() {
        let (predicted, _) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let [found, expected] = [&outcome, &run(&[predicted])]
            .map(|of| of.gradients[0].index_axis(Axis(0), image).to_owned());
        assert_eq!(found, expected);
        classes.push(predicted);
    }
    assert!(classes.iter().any(|&class| class != classes[0]), "{classes:?}");
}

#[test]
fn a_pass_that_wants_no_gradient_gets_none() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let pass = PassRequest { activation: true, ..PassRequest::of(picture(64, 64)) };
    let outcome = model.run(model.default_layer(), pass, &CancellationToken::default()).unwrap();
    assert!(outcome.gradients.is_empty());
    assert_eq!(outcome.activation.unwrap().shape()[1..], model.default_layer().shape);
}

#[test]
fn the_default_layer_is_the_last_convolution_not_the_pool_behind_it() {
    assert_eq!(dialect("tinyvgg-torchscript", [64, 64]).default_layer().name, "features.29");
    assert_eq!(dialect("tinyvgg-keras", [64, 64]).default_layer().name, "block5_conv3");
}
