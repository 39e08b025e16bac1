//! The methods that run only the part of the model after the layer: AblationCAM and Recipro-CAM.
//! The arrays were made by `tools golden.tails_torch`.

use camlens::app::ExplainOptions;
use camlens::engine::Model;
use camlens::error::Kind;
use camlens::explain::{Convention, Method};
use camlens::model::onnx_file::OnnxFile;
use onnx_gradient::proto::{AttributeProto, NodeProto};

use super::{TINY, TINY_VGG, TOLERANCE, targets};
use crate::support::{difference, explain, repository, try_explain, written};

#[test]
fn tail_methods_agree_with_their_sources() {
    let sources = [
        (Method::AblationCam, Convention::Paper, "paper"),
        (Method::AblationCam, Convention::PytorchGradCam, "pgc"),
        (Method::ReciproCam, Convention::Paper, "paper"),
        (Method::ReciproCam, Convention::OpenvinoXai, "openvino-xai"),
    ];
    for tiny in TINY {
        let (model, input, mut golden) = tiny.load();
        for (suffix, target) in targets(&mut golden) {
            for (layer, ours) in tiny.layers {
                for (method, convention, source) in sources {
                    // The package selects its layer by a part of the name, which is ambiguous here.
                    if (tiny.onnx, *layer, convention)
                        == ("tinymix", "stem", Convention::OpenvinoXai)
                    {
                        continue;
                    }
                    let options = ExplainOptions {
                        method,
                        convention,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        ..ExplainOptions::default()
                    };
                    let found = explain(&model, &input, &options);
                    let key = format!("{method}{suffix}|{layer}|{source}");
                    let off = difference(&found.map, &golden.get(&key));
                    assert!(off <= TOLERANCE, "{}, {key} differs by {off}", tiny.onnx);
                    assert!(
                        found.passes.forward == 1
                            && found.passes.masked == 0
                            && found.passes.tail > 0
                    );
                }
            }
        }
    }
}

#[test]
fn methods_without_a_gradient_work_where_the_gradient_is_unsupported() {
    let (_, input, _) = TINY_VGG.load();
    let model = without_gradient();
    for method in [Method::GradCam, Method::LayerCam] {
        let refused =
            try_explain(&model, &input, &ExplainOptions { method, ..ExplainOptions::default() });
        assert_eq!(refused.unwrap_err().kind(), Kind::Impossible);
    }
    for method in [
        Method::AblationCam,
        Method::ReciproCam,
        Method::EigenCam,
        Method::Random,
        Method::ScoreCam,
    ] {
        let options = ExplainOptions {
            method,
            layer: Some("features.29".into()),
            ..ExplainOptions::default()
        };
        assert!(!explain(&model, &input, &options).empty, "{method}");
    }
}

/// A tiny VGG16 whose scores pass through an operator in a form that its vjp does not support.
fn without_gradient() -> Model {
    let file =
        OnnxFile::open(&repository("tests/golden/dialects/tinyvgg-torchscript.onnx")).unwrap();
    let mut model = file.model;
    let graph = model.graph.as_mut().unwrap();
    let output = graph.output[0].name().to_owned();
    let last = graph.node.iter_mut().find(|node| node.output[0] == output).unwrap();
    last.output[0] = "before".into();
    let equation = AttributeProto::string("equation", "...c->...c");
    graph.node.push(NodeProto::new("Einsum", &["before"], &[&output]).with(equation));
    written(&model, "[input]\nsize = [64, 64]\n").unwrap()
}
