//! Unfinished maps of Score-CAM, as a client that streams progress gets them.

use camlens::app::ExplainOptions;
use std::sync::Mutex;

use camlens::app::explain_input;
use camlens::engine::CancellationToken;
use camlens::explain::{Explanation, Method, Normalization, ProgressObserver};

use crate::support::{dialect, modular_pattern};

/// Collects every unfinished map.
#[derive(Default)]
struct Collector(Mutex<Vec<Explanation>>);

impl ProgressObserver for Collector {
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

/// Every pass adds a non-negative channel, weighted by a probability.
#[test]
fn an_unfinished_map_grows_with_every_batch() {
    let model = dialect("tinyvgg-torchscript", [64, 64]);
    let options = ExplainOptions {
        method: Method::ScoreCam,
        normalize: Some(Normalization::None),
        ..ExplainOptions::default()
    };
    let collector = Collector::default();
    let input = modular_pattern([64, 64], 0);
    let cancel = CancellationToken::default();
    let methods = [Method::ScoreCam];
    let finished =
        explain_input(&model, &input, &methods, &options, &cancel, &collector).unwrap().remove(0);
    let mut maps = collector.0.into_inner().unwrap();
    assert!(!maps.is_empty() && maps.len() == (finished.passes.masked - 1) / model.batch());
    maps.push(finished);
    for (index, pair) in maps.windows(2).enumerate() {
        assert_eq!(pair[0].passes.masked, (index + 1) * model.batch());
        assert!(pair[0].map.iter().zip(&pair[1].map).all(|(before, after)| before <= after));
        assert!(pair[0].max > 0.0 && pair[0].map != pair[1].map);
        assert_eq!(pair[0].target, pair[1].target);
    }
}
