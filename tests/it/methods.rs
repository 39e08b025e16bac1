//! The methods beyond the article's three, against the libraries' own code:
//! `scripts/golden/methods_torch.py` made the arrays.

use camlens::app::explain_input;
use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest};
use camlens::error::Kind;
use camlens::explain::Explanation;
use camlens::explain::options::{Choice, Convention, Method, Normalize, Options};
use camlens::graph::explain_graph::GradientOf;
use camlens::model::ModelFolder;
use camlens::model::onnx_file::OnnxFile;
use ndarray::{Array1, Array2, Array3, Array4, ArrayD, Axis};
use onnx_gradient::proto::{AttributeProto, NodeProto};
use prost::Message;

use crate::support::{
    Golden, dialect, difference, fetched, relative_difference, repository, settings,
};

const TOLERANCE: f32 = 1e-4;

/// The tiny models: the golden file, the ONNX file, the input's size, and layers by both of their
/// names.
type Tiny = (&'static str, &'static str, [usize; 2], &'static [(&'static str, &'static str)]);

const TINY: [Tiny; 3] = [
    (
        "tinyvgg",
        "tinyvgg-torchscript",
        [64, 64],
        &[("block3_conv3", "features.15"), ("block5_conv3", "features.29")],
    ),
    (
        "tinymix",
        "tinymix",
        [50, 38],
        &[
            ("stem", "/act/Mul_output_0"),
            ("residual", "/joined/Relu_output_0"),
            ("last", "/last_act/Mul_output_0"),
        ],
    ),
    (
        "tinylite",
        "tinylite",
        [48, 48],
        &[
            ("block2_depthwise", "/blocks/blocks.1/depthwise/depthwise.2/Clip_output_0"),
            ("block4", "/blocks/blocks.3/project/project.1/BatchNormalization_output_0"),
        ],
    ),
];

const OF_GRADIENTS: [Method; 6] = [
    Method::LayerCam,
    Method::HiResCam,
    Method::XGradCam,
    Method::GradCamElementWise,
    Method::EigenCam,
    Method::EigenGradCam,
];

fn explain(model: &Model, input: &Array4<f32>, options: &Options) -> Explanation {
    let methods = [options.method];
    let mut maps =
        explain_input(model, input, &methods, options, &CancellationToken::default(), &|_, _| {})
            .expect("a map");
    maps.remove(0)
}

fn class(golden: &mut Golden, name: &str) -> Option<String> {
    let class: Array1<i64> = golden.get(name);
    Some(class[0].to_string())
}

#[test]
fn the_library_s_methods_agree_with_the_library() {
    for (golden, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{golden}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        for (suffix, target) in
            [("", class(&mut golden, "target")), ("_other", class(&mut golden, "other"))]
        {
            for (layer, ours) in layers {
                for method in OF_GRADIENTS {
                    let options = Options {
                        method,
                        convention: Convention::PytorchGradCam,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        ..Options::default()
                    };
                    let key = format!("{}{suffix}|{layer}", method.name());
                    let found = explain(&model, &input, &options).map.into_dyn();
                    let scaled = difference(&found, &golden.get(&format!("{key}|pgc")));
                    assert!(scaled <= TOLERANCE, "{onnx}, {key} differs by {scaled}");
                    // Before it is scaled, too, as far as it is above 0.
                    let raw = Options { normalize: Some(Normalize::None), ..options };
                    let found = explain(&model, &input, &raw).map.into_dyn();
                    let expected: ArrayD<f32> = golden.get(&format!("{key}|raw"));
                    let raw = relative_difference(&found, &expected.mapv(|value| value.max(0.0)));
                    assert!(raw <= TOLERANCE, "{onnx}, {key} differs by {raw} before it is scaled");
                }
            }
        }
    }
}

#[test]
fn the_papers_formulas_differ_from_the_library_s_where_the_docs_say() {
    let papers = [Method::LayerCam, Method::HiResCam, Method::XGradCam];
    for (golden, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{golden}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        for (layer, ours) in layers {
            let options = |method| Options {
                method,
                layer: Some((*ours).to_owned()),
                target: None,
                ..Options::default()
            };
            // The same sums; the library adds 1e-7 to XGrad-CAM's denominators.
            for method in papers {
                let raw: ArrayD<f32> = golden.get(&format!("{}|{layer}|raw", method.name()));
                let found = explain(&model, &input, &options(method));
                let largest = raw.iter().copied().fold(0.0, f32::max);
                let expected = raw.mapv(|value| value.max(0.0) / largest);
                let off = difference(&found.map.into_dyn(), &expected);
                assert!(off <= TOLERANCE, "{onnx}, {layer}, {method} differs by {off}");
                assert!((found.max / largest - 1.0).abs() <= TOLERANCE);
            }
            // Eigen-CAM without centring.
            let found = explain(&model, &input, &options(Method::EigenCam)).map.into_dyn();
            let off = difference(&found, &golden.get(&format!("eigencam|{layer}|paper")));
            assert!(off <= TOLERANCE, "{onnx}, {layer}, eigencam differs by {off}");
        }
    }
}

#[test]
fn real_weights_agree_with_the_library() {
    let mut golden = Golden::open("methods/vgg16-mri.npz");
    let model = fetched("vgg16-mri");
    let pixels: Array3<u8> = golden.get("input_u8");
    let input = pixels.mapv(|value| f32::from(value) / 255.0).insert_axis(Axis(0));
    let options = Options { convention: Convention::PytorchGradCam, ..Options::default() };
    let cancel = CancellationToken::default();
    let maps =
        explain_input(&model, &input, &OF_GRADIENTS, &options, &cancel, &|_, _| {}).expect("maps");
    for explanation in maps {
        let key = format!("{}|block5_conv3|pgc", explanation.method);
        let off = difference(&explanation.map.into_dyn(), &golden.get(&key));
        assert!(off <= TOLERANCE, "{key} differs by {off}");
    }
}

#[test]
fn chance_is_the_same_every_time_and_decided_by_its_seed() {
    let mut golden = Golden::open("methods/tinymix.npz");
    let (model, input) = (dialect("tinymix", [50, 38]), golden.get("x"));
    let map = |seed| -> Array2<f32> {
        explain(&model, &input, &Options { method: Method::Random, seed, ..Options::default() }).map
    };
    assert_eq!(map(1), map(1));
    assert_ne!(map(1), map(2));
}

#[test]
fn tail_passes_agree_with_their_sources() {
    let sources = [
        (Method::AblationCam, Convention::Paper, "paper"),
        (Method::AblationCam, Convention::PytorchGradCam, "pgc"),
        (Method::ReciproCam, Convention::Paper, "paper"),
        (Method::ReciproCam, Convention::OpenvinoXai, "openvino-xai"),
    ];
    for (golden, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{golden}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        for (suffix, target) in
            [("", class(&mut golden, "target")), ("_other", class(&mut golden, "other"))]
        {
            for (layer, ours) in layers {
                for (method, convention, source) in sources {
                    // The package finds its layer by a part of its name, which can't name this one.
                    if (onnx, *layer, convention) == ("tinymix", "stem", Convention::OpenvinoXai) {
                        continue;
                    }
                    let options = Options {
                        method,
                        convention,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        ..Options::default()
                    };
                    let found = explain(&model, &input, &options);
                    let key = format!("{}{suffix}|{layer}|{source}", method.name());
                    let off = difference(&found.map.into_dyn(), &golden.get(&key));
                    assert!(off <= TOLERANCE, "{onnx}, {key} differs by {off}");
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

/// `scripts/golden/samples_torch.py` gave torch-cam the noise that camlens draws from the same
/// seed.
#[test]
fn noisy_passes_agree_with_torch_cam_given_the_same_noise() {
    for (golden, onnx, size, layers) in TINY {
        let mut inputs = Golden::open(&format!("methods/{golden}.npz"));
        let mut golden = Golden::open(&format!("methods/{golden}-samples.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = inputs.get("x");
        let (seed, samples): (Array1<i64>, Array1<i64>) =
            (golden.get("seed"), golden.get("samples"));
        let noise: Array1<f32> = golden.get("noise");
        for (suffix, target) in
            [("", class(&mut inputs, "target")), ("_other", class(&mut inputs, "other"))]
        {
            for (layer, ours) in layers {
                for convention in [Convention::TorchCam, Convention::Paper] {
                    // Here torch-cam's own map moves by 1e-4 between 32 and 64 bits, so the script
                    // leaves it out.
                    if (*layer, suffix, convention)
                        == ("block2_depthwise", "_other", Convention::TorchCam)
                    {
                        continue;
                    }
                    let options = Options {
                        method: Method::SmoothGradCamPlusPlus,
                        convention,
                        layer: Some((*ours).to_owned()),
                        target: target.clone(),
                        seed: seed[0] as u64,
                        samples: Some(samples[0] as usize),
                        noise: Some(noise[0]),
                        ..Options::default()
                    };
                    let found = explain(&model, &input, &options);
                    let key = format!("smoothgradcam++{suffix}|{layer}|{}", convention.name());
                    let off = difference(&found.map.into_dyn(), &golden.get(&key));
                    assert!(off <= TOLERANCE, "{onnx}, {key} differs by {off}");
                    assert_eq!(
                        (found.passes.forward, found.passes.masked),
                        (1, samples[0] as usize)
                    );
                }
            }
        }
    }
}

#[test]
fn without_noise_smooth_grad_cam_plus_plus_is_grad_cam_plus_plus() {
    let mut golden = Golden::open("methods/tinymix.npz");
    let (model, input) = (dialect("tinymix", [50, 38]), golden.get("x"));
    let layer = Some("/act/Mul_output_0".to_owned());
    let plain =
        Options { method: Method::GradCamPlusPlus, layer: layer.clone(), ..Options::default() };
    let smooth = |seed, noise| Options {
        method: Method::SmoothGradCamPlusPlus,
        layer: layer.clone(),
        samples: Some(3),
        noise: Some(noise),
        seed,
        ..Options::default()
    };
    let expected = explain(&model, &input, &plain).map.into_dyn();
    let off = difference(&explain(&model, &input, &smooth(0, 0.0)).map.into_dyn(), &expected);
    assert!(off <= 1e-5, "differs by {off}");
    let [one, same, other] = [1, 1, 2].map(|seed| explain(&model, &input, &smooth(seed, 0.3)).map);
    assert_eq!(one, same);
    assert_ne!(one, other);
}

/// Before it is stretched, and as far as it is above 0; see `scripts/golden/samples_torch.py`.
#[test]
fn groups_of_channels_agree_with_their_authors() {
    let mut shown = 0;
    for (golden, onnx, size, layers) in TINY {
        let mut inputs = Golden::open(&format!("methods/{golden}.npz"));
        let mut golden = Golden::open(&format!("methods/{golden}-samples.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = inputs.get("x");
        for (suffix, target) in
            [("", class(&mut inputs, "target")), ("_other", class(&mut inputs, "other"))]
        {
            for (layer, ours) in layers {
                let options = Options {
                    method: Method::GroupCam,
                    layer: Some((*ours).to_owned()),
                    target: target.clone(),
                    normalize: Some(Normalize::None),
                    ..Options::default()
                };
                let found = explain(&model, &input, &options);
                let expected: ArrayD<f32> = golden.get(&format!("groupcam{suffix}|{layer}|sum"));
                let expected = expected.mapv(|value| value.max(0.0));
                assert!(found.passes.masked > 1, "{:?}", found.passes);
                if expected.iter().all(|&value| value == 0.0) {
                    assert!(found.empty, "{onnx}, {layer}{suffix}");
                } else {
                    let off = relative_difference(&found.map.into_dyn(), &expected);
                    assert!(off <= TOLERANCE, "{onnx}, {layer}{suffix} differs by {off}");
                    shown += 1;
                }
            }
        }
    }
    assert!(shown >= 7, "{shown}");
}

/// The tail of a model is run where its gradient can't be had, too.
#[test]
fn tail_passes_need_no_gradient() {
    let mut golden = Golden::open("methods/tinyvgg.npz");
    let input: Array4<f32> = golden.get("x");
    let model = without_gradient();
    for method in [Method::GradCam, Method::LayerCam] {
        let options = Options { method, ..Options::default() };
        let refused = explain_input(
            &model,
            &input,
            &[method],
            &options,
            &CancellationToken::default(),
            &|_, _| {},
        );
        assert_eq!(refused.unwrap_err().kind(), Kind::Impossible);
    }
    for method in [
        Method::AblationCam,
        Method::ReciproCam,
        Method::EigenCam,
        Method::Random,
        Method::ScoreCam,
    ] {
        let options = Options { method, layer: Some("features.29".into()), ..Options::default() };
        assert!(!explain(&model, &input, &options).empty, "{method}");
    }
}

/// A tiny VGG16 whose scores go through an operator in a form that its gradient rule refuses.
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
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
    std::fs::write(folder.join("model.toml"), "file = \"model.onnx\"\n[input]\nsize = [64, 64]\n")
        .unwrap();
    ModelRegistry::load_one(ModelFolder::read(&folder).unwrap(), &settings()).unwrap()
}

/// HiResCAM's sum is linear in the score, so contrast and negation can be told from the library's
/// own maps.
#[test]
fn a_contrast_is_the_difference_of_scores_and_a_negation_its_opposite() {
    let mut held = 0;
    for (golden, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{golden}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        let (target, other) = (class(&mut golden, "target"), class(&mut golden, "other"));
        for (layer, ours) in layers {
            let raw: ArrayD<f32> = golden.get(&format!("hirescam|{layer}|raw"));
            let of_other: ArrayD<f32> = golden.get(&format!("hirescam_other|{layer}|raw"));
            let options = |contrast: Option<String>, negate| Options {
                method: Method::HiResCam,
                layer: Some((*ours).to_owned()),
                target: target.clone(),
                contrast,
                negate,
                normalize: Some(Normalize::None),
                ..Options::default()
            };
            let holds = |options: &Options, expected: ArrayD<f32>| {
                let found = explain(&model, &input, options);
                let expected = expected.mapv(|value| value.max(0.0));
                if expected.iter().all(|&value| value == 0.0) {
                    assert!(found.empty, "{onnx}, {layer}");
                    return 0;
                }
                let off = relative_difference(&found.map.into_dyn(), &expected);
                assert!(off <= TOLERANCE, "{onnx}, {layer}: differs by {off}");
                1
            };
            held += holds(&options(None, true), -&raw);
            held += holds(&options(other.clone(), false), &raw - &of_other);
            held += holds(&options(other.clone(), true), &of_other - &raw);
        }
    }
    // Of some layers nothing speaks against the class; most have something to compare.
    assert!(held >= 14, "{held}");
}

#[test]
fn several_layers_are_fused_as_the_library_does_it() {
    let mut fusion = Golden::open("methods/fusion.npz");
    for (name, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{name}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        // The order in which they are named does not count.
        let names: Vec<&str> = layers.iter().rev().map(|(_, ours)| *ours).collect();
        for method in [Method::GradCam, Method::LayerCam, Method::ScoreCam] {
            let options = Options {
                method,
                convention: Convention::PytorchGradCam,
                layer: Some(names.join(",")),
                target: class(&mut golden, "target"),
                ..Options::default()
            };
            let found = explain(&model, &input, &options);
            assert_eq!(found.passes.forward, 1);
            let off = difference(
                &found.map.into_dyn(),
                &fusion.get(&format!("{name}|{}", method.name())),
            );
            assert!(off <= TOLERANCE, "{onnx}, {method} differs by {off}");
        }
    }
}

/// The library's own sums, before it cuts them off at 0.
#[test]
fn a_signed_map_is_the_sum_that_is_not_cut() {
    let mut below = 0;
    for (golden, onnx, size, layers) in TINY {
        let mut golden = Golden::open(&format!("methods/{golden}.npz"));
        let model = dialect(onnx, size);
        let input: Array4<f32> = golden.get("x");
        let target = class(&mut golden, "target");
        for (layer, ours) in layers {
            for method in [Method::HiResCam, Method::XGradCam] {
                let raw: ArrayD<f32> = golden.get(&format!("{}|{layer}|raw", method.name()));
                let options = |normalize| Options {
                    method,
                    convention: Convention::PytorchGradCam,
                    layer: Some((*ours).to_owned()),
                    target: target.clone(),
                    signed: true,
                    normalize,
                    ..Options::default()
                };
                let found = explain(&model, &input, &options(Some(Normalize::None)));
                let off = relative_difference(&found.map.into_dyn(), &raw);
                assert!(off <= TOLERANCE, "{onnx}, {layer}, {method} differs by {off}");
                let largest = raw.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert!((found.max / largest - 1.0).abs() <= TOLERANCE);
                let found = explain(&model, &input, &options(None)).map.into_dyn();
                let off = difference(&found, &raw.mapv(|value| value / largest));
                assert!(
                    off <= TOLERANCE,
                    "{onnx}, {layer}, {method} differs by {off} when it is scaled"
                );
                below += usize::from(found.iter().any(|&value| value < -0.05));
            }
        }
    }
    assert!(below >= 8, "{below}");
}

#[test]
fn a_goal_that_a_method_cannot_have_is_refused() {
    let model = dialect("tinymix", [50, 38]);
    let input: Array4<f32> = Golden::open("methods/tinymix.npz").get("x");
    let ask = |method, contrast: Option<&str>, negate| {
        let contrast = contrast.map(str::to_owned);
        let options =
            Options { method, target: Some("1".into()), contrast, negate, ..Options::default() };
        explain_input(
            &model,
            &input,
            &[method],
            &options,
            &CancellationToken::default(),
            &|_, _| {},
        )
        .map(|maps| maps[0].empty)
        .map_err(|error| (error.kind(), error.option().map(str::to_owned)))
    };
    let refused = |option: &str| Err((Kind::Impossible, Some(option.to_owned())));
    assert_eq!(ask(Method::EigenCam, Some("2"), false), refused("contrast"));
    assert_eq!(ask(Method::Random, None, true), refused("negate"));
    assert_eq!(ask(Method::ScoreCam, None, true), refused("negate"));
    assert_eq!(ask(Method::ReciproCam, None, true), refused("negate"));
    assert_eq!(ask(Method::GradCam, Some("1"), false), refused("contrast"));
    assert_eq!(
        ask(Method::GradCam, Some("99"), false),
        Err((Kind::UnknownClass, Some("contrast".into())))
    );
    for method in [Method::GradCam, Method::ScoreCam, Method::AblationCam, Method::ReciproCam] {
        assert!(ask(method, Some("2"), false).is_ok(), "{method}");
    }
    assert_eq!(ask(Method::AblationCam, None, true).map(drop), Ok(()));
}

/// The gradient that ONNX Runtime gives for a contrast, of logits and of probabilities, for one and
/// for a batch.
#[test]
fn the_gradient_of_a_contrast_is_the_difference_of_gradients() {
    let model = dialect("tinymix", [50, 38]);
    let x: Array4<f32> = Golden::open("dialects/tinymix.npz").get("x");
    for wanted in [GradientOf::Logit, GradientOf::Probability] {
        let gradient = |target, contrast| {
            let pass = PassRequest {
                targets: vec![target],
                contrast,
                gradient_of: wanted,
                ..PassRequest::of(x.clone())
            };
            model
                .run(model.default_layer(), pass, &CancellationToken::default())
                .unwrap()
                .gradients
                .remove(0)
                .into_dyn()
        };
        let off =
            relative_difference(&gradient(1, Some(4)), &(gradient(1, None) - gradient(4, None)));
        assert!(off <= 1e-5, "{wanted:?} differs by {off}");
    }
}
