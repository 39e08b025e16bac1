//! Passes of several requests take turns, across all models.

use std::sync::mpsc;
use std::time::Duration;

use camlens::app::{
    Cost, ExplainOptions, ExplainRequest, Operation, RequestOptions, explain_input,
};
use camlens::engine::{CancellationToken, JobClass, Model, Reason};
use camlens::error::Kind;
use camlens::explain::Method;
use camlens::picture::decode::Limits;

use crate::support::{fetched, modular_pattern, repository};

fn long() -> CancellationToken {
    CancellationToken::default().with_class(JobClass::Long)
}

/// The sizes of a Score-CAM's first batches.
fn batches(model: &Model, count: usize) -> Vec<usize> {
    let (sender, sizes) = mpsc::channel();
    let cancel = long();
    let last = std::sync::Mutex::new(0);
    let progress = |done: usize, _: usize| {
        let mut last = last.lock().unwrap();
        if done > 0 {
            let _ = sender.send(done - *last);
        }
        *last = done;
    };
    let method = [Method::ScoreCam];
    let options = ExplainOptions { method: Method::ScoreCam, ..ExplainOptions::default() };
    let input = modular_pattern([224, 224], 0);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            explain_input(model, &input, &method, &options, &cancel, &progress).map(drop)
        });
        let found = sizes.iter().take(count).collect();
        cancel.cancel(Reason::ClientDisconnected);
        assert_eq!(running.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
        found
    })
}

#[test]
fn a_long_request_runs_small_batches_while_short_ones_are_about() {
    let model = fetched("efficientnet-lite0");
    assert_eq!(batches(&model, 3), [model.batch(); 3]);
    let short = model.turns().begin(JobClass::Short);
    let most = 50.0 / (model.pass_time().as_secs_f64() * 1e3) * 2.0;
    let found = batches(&model, 3);
    assert!(found.iter().all(|&size| size as f64 <= most.max(1.0)), "{found:?}");
    drop(short);
}

#[test]
fn a_batch_takes_no_more_memory_than_it_may() {
    let model = fetched("efficientnet-lite0");
    model.turns().limit_batch_bytes(2 * model.pass_bytes());
    assert_eq!(model.batch_now(&CancellationToken::default()), 2);
    model.turns().limit_batch_bytes(0);
    assert_eq!(model.batch_now(&CancellationToken::default()), 1);
}

#[test]
fn a_short_request_waits_for_one_batch_of_a_long_one_at_most() {
    let model = fetched("efficientnet-lite0");
    let (begun, begins) = mpsc::channel();
    let cancel = long();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let method = [Method::ScoreCam];
            let options = ExplainOptions { method: Method::ScoreCam, ..ExplainOptions::default() };
            let progress = |done: usize, _: usize| {
                let _ = begun.send(done);
            };
            let input = modular_pattern([224, 224], 0);
            explain_input(&model, &input, &method, &options, &cancel, &progress).map(drop)
        });
        begins.recv().unwrap();
        let _short = model.turns().begin(JobClass::Short);
        for _ in 0..5 {
            let before = begins.try_iter().last();
            model.forward(modular_pattern([224, 224], 1), &CancellationToken::default()).unwrap();
            let batches = begins.try_iter().count();
            assert!(batches <= 1, "{batches} batches after {before:?}");
        }
        cancel.cancel(Reason::ClientDisconnected);
        assert!(work.join().unwrap().is_err());
    });
}

/// A request for EfficientNet-Lite0 about a photograph of 451 × 300 pixels.
fn cost(operation: Operation, options: &[(&str, &str)]) -> Cost {
    let model = fetched("efficientnet-lite0");
    let image = std::fs::read(repository("tests/golden/images/chelsea.png")).unwrap().into();
    let output = camlens::app::options::Output::Json;
    let options = RequestOptions::parse(operation, options.iter().copied(), output).unwrap();
    let request = ExplainRequest { operation, image, options };
    Cost::estimate(&model, &request, Limits { max_pixels: 1 << 30 })
}

#[test]
fn requests_are_long_by_their_number_of_passes() {
    use Operation::{Compare, Explain, Predict};
    for (operation, options, expected) in [
        (Predict, &[][..], JobClass::Short),
        (Explain, &[("method", "gradcam++")], JobClass::Short),
        (Explain, &[("method", "eigencam"), ("layer", "conv_stem")], JobClass::Short),
        (Explain, &[("method", "scorecam")], JobClass::Long),
        (Explain, &[("method", "scorecam"), ("max_channels", "2")], JobClass::Short),
        (Explain, &[("method", "ablationcam")], JobClass::Long),
        (Compare, &[], JobClass::Long),
        (Compare, &[("methods", "gradcam,gradcam++,layercam")], JobClass::Short),
    ] {
        assert_eq!(cost(operation, options).class, expected, "{operation} {options:?}");
    }
}

#[test]
fn a_request_s_bytes_grow_with_its_image_and_its_response() {
    let json = cost(Operation::Explain, &[("size", "layer")]).bytes;
    let overlay = cost(Operation::Explain, &[("output", "overlay")]).bytes;
    let five = [("output", "npy"), ("target", "1,2,3,4,5"), ("size", "image")];
    let array = cost(Operation::Explain, &five).bytes;
    const MIB: u64 = 1 << 20;
    assert!((MIB..16 * MIB).contains(&json), "{json}");
    assert!(overlay > MIB && array > overlay + 4 * MIB, "{overlay} {array}");
    assert!(Duration::ZERO < fetched("efficientnet-lite0").pass_time());
}
