//! Score-CAM estimated from some of its passes by a Gaussian process, compared with Score-CAM from
//! all of them, on the trained EfficientNet-Lite0.

use camlens::app::ExplainOptions;
use camlens::error::Kind;
use camlens::explain::{Convention, Explanation, Method, Normalization};

use crate::support::{explain_photo, fetched, photo};

fn options() -> ExplainOptions {
    ExplainOptions {
        method: Method::ScoreCam,
        layer: Some("blocks.10".into()),
        normalize: Some(Normalization::None),
        ..ExplainOptions::default()
    }
}

/// Pearson's correlation of two maps.
fn correlation(a: &Explanation, b: &Explanation) -> f64 {
    let centred = |map: &Explanation| {
        let values = map.map.mapv(f64::from);
        let mean = values.mean().unwrap();
        values - mean
    };
    let (a, b) = (centred(a), centred(b));
    (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt()
}

#[test]
fn a_quarter_of_the_passes_gives_the_map_within_the_reported_confidence() {
    let (model, chelsea) = (fetched("efficientnet-lite0"), photo("chelsea"));
    let ask = |options: ExplainOptions| explain_photo(&model, &chelsea, &options);
    let all = ask(options()).unwrap();
    assert_eq!((all.passes.masked, all.confidence), (112, None));

    let some = ask(ExplainOptions { budget: Some(28), ..options() }).unwrap();
    assert_eq!((some.passes.masked, some.passes.skipped), (28, 84));
    let found = correlation(&all, &some);
    let reported = some.confidence.unwrap();
    assert!(
        found > 0.95 && found >= reported.at_least && reported.at_least > 0.8,
        "{found}, reported {reported:?}"
    );

    let near = ask(ExplainOptions { tolerance: Some(0.05), ..options() }).unwrap();
    let reported = near.confidence.unwrap();
    assert!(
        near.passes.masked < 112 && reported.at_least >= 0.95,
        "{:?}, {reported:?}",
        near.passes
    );
    assert!(correlation(&all, &near) >= 0.95);

    // A budget of all passes leaves nothing to estimate.
    let full = ask(ExplainOptions { budget: Some(112), ..options() }).unwrap();
    assert_eq!((full.map, full.confidence), (all.map, None));

    let convention = Convention::PytorchGradCam;
    let refused = ask(ExplainOptions { budget: Some(28), convention, ..options() }).unwrap_err();
    assert_eq!(refused.kind(), Kind::Impossible);
}
