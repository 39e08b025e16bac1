//! Maps of several layers as one. The arrays were made by `tools golden.fusion_torch`.

use camlens::app::ExplainOptions;
use camlens::explain::{Convention, Method};

use super::{TINY, TOLERANCE};
use crate::support::{Golden, difference, explain};

#[test]
fn a_map_of_several_layers_agrees_with_pytorch_grad_cam() {
    let mut fusion = Golden::open("methods/fusion.npz");
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        // The order of the names does not matter.
        let names: Vec<&str> = tiny.layers.iter().rev().map(|(_, ours)| *ours).collect();
        let methods =
            [Method::GradCam, Method::GradCamPlusPlus, Method::LayerCam, Method::ScoreCam];
        for method in methods {
            let options = ExplainOptions {
                method,
                convention: Convention::PytorchGradCam,
                layer: Some(names.join(",")),
                target: golden.class("target"),
                ..ExplainOptions::default()
            };
            let found = explain(&model, &input, &options);
            assert_eq!(found.passes.forward, 1);
            let key = format!("{}|{method}", tiny.name);
            let off = difference(&found.map, &fusion.get(&key));
            assert!(off <= TOLERANCE, "{}, {method} differs by {off}", tiny.onnx);
        }
    }
}
