//! Long work stops when it is cancelled or late, and lets shorter work through.

use camlens::app::ExplainOptions;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model, Reason};
use camlens::error::{Kind, Result};
use camlens::explain::{Explanation, Method, ProgressObserver};
use ndarray::Array4;

use crate::support::{fetched, modular_pattern};

const SIZE: [usize; 2] = [224, 224];

/// Explains an image by Score-CAM, which takes many passes.
fn score_cam(
    model: &Model,
    cancel: &CancellationToken,
    progress: &dyn ProgressObserver,
) -> Result<Vec<Explanation>> {
    let options = ExplainOptions { method: Method::ScoreCam, ..ExplainOptions::default() };
    let input = modular_pattern(SIZE, 0);
    explain_input(model, &input, &[Method::ScoreCam], &options, cancel, progress)
}

#[test]
fn a_cancelled_score_cam_stops_before_its_next_batch() {
    let model = fetched("efficientnet-lite0");
    let cancel = CancellationToken::default();
    let (batches, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |_done: usize, all: usize| {
        total.store(all, Ordering::SeqCst);
        if batches.fetch_add(1, Ordering::SeqCst) == 1 {
            cancel.cancel(Reason::ClientDisconnected);
        }
    };
    let error = score_cam(&model, &cancel, &progress).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(batches.load(Ordering::SeqCst), 2);
    assert!(total.load(Ordering::SeqCst) > 2 * model.batch());
    // The flag belonged to the request, not to the model, so the next request succeeds.
    model.forward(modular_pattern(SIZE, 0), &CancellationToken::default()).unwrap();
}

#[test]
fn a_pass_in_progress_is_stopped_between_two_kernels() {
    let model = fetched("vgg16-mri");
    let cancel = CancellationToken::default();
    // The batch takes seconds, far longer than the thread that raises the flag. No value is zero,
    // because the kernels skip zeros.
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
    let error = score_cam(&model, &cancel, &|_, _| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Deadline);
}

#[test]
fn a_short_request_runs_between_two_batches_of_a_long_one() {
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
            score_cam(&model, &CancellationToken::default(), &progress).unwrap();
        });
        begun.recv().unwrap();
        model.forward(modular_pattern(SIZE, 0), &CancellationToken::default()).unwrap();
        assert!(
            done.load(Ordering::SeqCst) < all.load(Ordering::SeqCst),
            "the short request waited for the long one"
        );
        long.join().unwrap();
    });
}
