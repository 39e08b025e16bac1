//! Maps by the convention `pytorch-grad-cam` at the layer's and at the input's size, where the
//! library normalises a second time. The arrays were made by `tools golden.sizes_torch`.

use camlens::app::ExplainOptions;
use camlens::explain::{Convention, Method, Normalization};
use ndarray::Array2;

use super::{TINY, TINY_MIX, TOLERANCE};
use crate::support::{Golden, difference, explain};

const METHODS: [Method; 8] = [
    Method::GradCam,
    Method::GradCamPlusPlus,
    Method::LayerCam,
    Method::HiResCam,
    Method::XGradCam,
    Method::GradCamElementWise,
    Method::ScoreCam,
    Method::AblationCam,
];

#[test]
fn maps_agree_with_the_library_at_both_sizes() {
    let mut sizes = Golden::open("methods/sizes.npz");
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        let (_, layer) = tiny.layers.last().expect("a layer");
        for method in METHODS {
            let options = ExplainOptions {
                method,
                convention: Convention::PytorchGradCam,
                layer: Some((*layer).to_owned()),
                target: golden.class("target"),
                ..ExplainOptions::default()
            };
            let found = explain(&model, &input, &options);
            let [height, width] = tiny.size;
            for (size, map) in
                [("layer", found.map.clone()), ("input", found.resized(height, width))]
            {
                let key = format!("{}|{method}|{size}", tiny.name);
                let off = difference(&map, &sizes.get(&key));
                assert!(off <= TOLERANCE, "{key} differs by {off}");
            }
        }
    }
}

/// The second normalisation belongs to the library's own: with another one, or with another
/// convention, a resized map is only resized.
#[test]
fn other_normalisations_are_not_repeated() {
    let (model, input, mut golden) = TINY_MIX.load();
    let layer = Some(TINY_MIX.layers[2].1.to_owned());
    let options = ExplainOptions {
        method: Method::GradCam,
        layer,
        target: golden.class("target"),
        ..ExplainOptions::default()
    };
    let largest = |convention, normalize| {
        let options = ExplainOptions { convention, normalize, ..options.clone() };
        let [height, width] = TINY_MIX.size;
        let map: Array2<f32> = explain(&model, &input, &options).resized(height, width);
        map.iter().copied().fold(0.0, f32::max)
    };
    let library = largest(Convention::PytorchGradCam, None);
    assert!((library - 1.0).abs() < 1e-6, "{library}");
    for (convention, normalize) in [
        (Convention::PytorchGradCam, Some(Normalization::Max)),
        (Convention::Paper, Some(Normalization::MinMax)),
        (Convention::Paper, None),
    ] {
        let resized = largest(convention, normalize);
        assert!(resized < 0.999, "{convention}, {normalize:?}: {resized}");
    }
}
