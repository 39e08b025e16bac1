//! Score-CAM from some of its passes, held against Score-CAM from all of them, on the real
//! EfficientNet-Lite0.

use camlens::app::explain;
use camlens::engine::CancellationToken;
use camlens::error::Kind;
use camlens::explain::Explanation;
use camlens::explain::options::{Convention, Method, Normalize, Options};
use image::RgbImage;

use crate::support::{fetched, repository};

fn chelsea() -> RgbImage {
    image::open(repository("tests/golden/images/chelsea.png")).unwrap().to_rgb8()
}

fn options() -> Options {
    Options {
        method: Method::ScoreCam,
        layer: Some("blocks.10".into()),
        normalize: Some(Normalize::None),
        ..Options::default()
    }
}

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
fn a_quarter_of_the_passes_gives_the_map_and_says_how_well() {
    let model = fetched("efficientnet-lite0");
    let ask = |options: Options| {
        explain(&model, &chelsea(), &options, &CancellationToken::default(), &|_, _| {})
            .map(|mut maps| maps.remove(0))
    };
    let all = ask(options()).unwrap();
    assert_eq!((all.passes.masked, all.confidence), (112, None));

    let some = ask(Options { budget: Some(28), ..options() }).unwrap();
    assert_eq!((some.passes.masked, some.passes.skipped), (28, 84));
    let found = correlation(&all, &some);
    let told = some.confidence.unwrap();
    assert!(
        found > 0.95 && found >= told.at_least && told.at_least > 0.8,
        "{found}, told {told:?}"
    );

    let near = ask(Options { tolerance: Some(0.05), ..options() }).unwrap();
    let told = near.confidence.unwrap();
    assert!(near.passes.masked < 112 && told.at_least >= 0.95, "{:?}, {told:?}", near.passes);
    assert!(correlation(&all, &near) >= 0.95);

    // As many passes as there are leave nothing to estimate.
    let whole = ask(Options { budget: Some(112), ..options() }).unwrap();
    assert_eq!((whole.map, whole.confidence), (all.map, None));

    let convention = Convention::PytorchGradCam;
    let refused = ask(Options { budget: Some(28), convention, ..options() }).unwrap_err();
    assert_eq!(refused.kind(), Kind::Impossible);
}
