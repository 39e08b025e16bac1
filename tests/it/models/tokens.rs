//! Vision transformers: which axes of a token tensor are positions of the image, and which layers
//! have a gradient for every position. The files were made by `tools conformance.tiny`.

use camlens::app::ExplainOptions;
use camlens::explain::{Convention, Method};
use camlens::graph::layers::Layout;
use ndarray::{Array3, Array4, Axis};

use super::{TOLERANCE, architecture};
use crate::support::{Golden, difference, explain, golden_model, settings};

/// The default layer is the one that pytorch-grad-cam's documentation recommends: the golden files
/// have no map for another.
#[test]
fn grad_cam_at_the_default_layer_is_pytorch_grad_cam_s_with_a_reshape_transform() {
    for name in ["vit", "deit", "swin"] {
        for exporter in ["torchscript", "dynamo"] {
            let name = format!("{name}-{exporter}");
            let model = architecture(&name);
            let mut golden = Golden::open(&format!("zoo/{name}.npz"));
            let x: Array4<f32> = golden.get("x");
            let key = format!("gradcam|{}", model.default_layer().tensor.replace('/', "|"));
            let expected: Array3<f32> = golden.get(&key);
            let options = ExplainOptions {
                method: Method::GradCam,
                convention: Convention::PytorchGradCam,
                ..ExplainOptions::default()
            };
            for (image, expected) in x.axis_chunks_iter(Axis(0), 1).zip(expected.outer_iter()) {
                let found = explain(&model, &image.to_owned(), &options);
                let difference = difference(&found.map, &expected.to_owned());
                assert!(difference <= TOLERANCE, "{name}: the map differs by {difference}");
            }
        }
    }
}

#[test]
fn after_the_last_attention_a_class_token_s_score_has_no_gradient_per_position() {
    let model = architecture("vit-torchscript");
    let last = model.layers().last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.layout.name(), last.shape),
        ("encoder.ln", "tokens", [16, 4, 4])
    );
    insta::assert_snapshot!(
        model.gradient_unsupported_reason(last).unwrap(),
        @"after this layer the score depends on the class token alone, so its positions have no gradient; the last layer that has one is the normalisation before the last attention"
    );
}

#[test]
fn the_last_layer_has_a_gradient_if_the_score_depends_on_all_positions() {
    let model = architecture("registers-torchscript");
    let last = model.layers().last().unwrap();
    assert_eq!((last.name.as_str(), last.shape), ("blocks.1.add_1", [16, 3, 4]));
    assert_eq!(model.gradient_unsupported_reason(last), None);
    assert_eq!(model.default_layer(), last);
}

#[test]
fn the_manifest_may_give_the_grid_of_the_tokens() {
    let manifest = "[tokens]\ngrid = [2, 8]\nskip = 1\n";
    let model = golden_model("zoo/vit-torchscript", [32, 32], manifest, &settings());
    let Layout::Tokens(tokens) = model.default_layer().layout else {
        panic!("{:?}", model.default_layer())
    };
    assert_eq!((tokens.skip, tokens.grid), (1, [2, 8]));
    assert_eq!(model.default_layer().shape, [16, 2, 8]);
}

#[test]
fn windows_of_attention_are_not_offered_as_layers() {
    for exporter in ["torchscript", "dynamo"] {
        let model = architecture(&format!("maxvit-{exporter}"));
        for layer in model.layers() {
            assert!(layer.shape[1] == layer.shape[2], "{layer:?}");
        }
        assert_eq!(model.default_layer().shape, [16, 4, 4], "{:?}", model.default_layer());
    }
}
