//! camlens's own kernels against ONNX Runtime's, through the engine: the same model with and
//! without them.

use camlens::app::explain;
use camlens::engine::{CancellationToken, Model, ModelRegistry, Settings};
use camlens::explain::options::{Method, Normalize, Options};
use camlens::model::ModelFolder;
use image::RgbImage;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};
use prost::Message;

use crate::support::{difference, repository, settings};

/// Largest difference of two maps in 0..1.
const TOLERANCE: f32 = 1e-4;

fn model(id: &str, fast_kernels: bool) -> Model {
    let folder = ModelFolder::read(&repository("models").join(id)).unwrap();
    ModelRegistry::load_one(folder, &Settings { fast_kernels, ..settings() }).unwrap()
}

fn picture(name: &str) -> RgbImage {
    image::open(repository("tests/golden/images").join(name)).unwrap().to_rgb8()
}

/// Holds maps of a layer against each other: three methods, the masked passes by a few channels,
/// and the most probable class that something speaks for.
fn agree(fast: &Model, plain: &Model, layer: &str, image: &RgbImage) {
    for method in Method::ARTICLE {
        let map = |model: &Model, class: Option<usize>| {
            let options = Options {
                method,
                layer: Some(layer.into()),
                target: class.map(|class| class.to_string()),
                max_channels: (method == Method::ScoreCam).then_some(5),
                normalize: Some(Normalize::Max),
                ..Options::default()
            };
            explain(model, image, &options, &CancellationToken::default(), &|_, _| {})
                .unwrap()
                .remove(0)
        };
        let probable = map(plain, None).predictions.into_iter().map(|prediction| prediction.index);
        let found =
            probable.map(|class| (class, map(plain, Some(class)))).find(|(_, map)| !map.empty);
        let (class, plain) = found.unwrap();
        let difference = difference(&map(fast, Some(class)).map.into_dyn(), &plain.map.into_dyn());
        assert!(difference <= TOLERANCE, "{layer}, {method}: {difference}");
    }
}

#[test]
fn vgg16_is_explained_the_same_at_three_depths() {
    let (fast, plain) = (model("vgg16-mri", true), model("vgg16-mri", false));
    assert_eq!(fast.fused().chains, [13]);
    assert!(plain.fused().chains.is_empty());
    let image = picture("chelsea.png");
    for layer in ["block5_conv3", "block4_conv3", "block3_conv3"] {
        agree(&fast, &plain, layer, &image);
    }
}

/// What is left out changes nothing: the same convolutions over every place give the same map.
#[test]
fn a_masked_pass_is_the_same_with_and_without_its_zeros() {
    let folder = || ModelFolder::read(&repository("models").join("vgg16-mri")).unwrap();
    let load = |skip_zeros| {
        ModelRegistry::load_one(folder(), &Settings { skip_zeros, ..settings() }).unwrap()
    };
    let (skipping, naive) = (load(true), load(false));
    for (name, layer) in [
        ("chelsea.png", "block5_conv3"),
        ("chelsea.png", "block3_conv3"),
        ("phantom.png", "block4_conv3"),
    ] {
        let options = Options {
            method: Method::ScoreCam,
            layer: Some(layer.into()),
            max_channels: Some(8),
            normalize: Some(Normalize::Max),
            ..Options::default()
        };
        let map = |model| {
            explain(model, &picture(name), &options, &CancellationToken::default(), &|_, _| {})
                .unwrap()
                .remove(0)
                .map
        };
        let (planned, whole) = (map(&skipping), map(&naive));
        assert!(whole.iter().any(|&value| value > 0.5));
        let difference = difference(&planned.into_dyn(), &whole.into_dyn());
        assert!(difference <= 1e-5, "{name}, {layer}: {difference}");
    }
}

#[test]
fn a_model_without_such_convolutions_keeps_its_own() {
    assert!(model("efficientnet-lite0", true).fused().chains.is_empty());
}

/// A block of a ResNet behind a strided convolution, and a large head whose matrix lies as Keras
/// writes it, or as PyTorch does.
fn residual(as_keras: bool) -> ModelProto {
    let weights = |name: &str, dims: &[i64]| {
        let inputs: i64 = dims[1..].iter().product();
        let scale = (6.0 / inputs as f32).sqrt();
        let values: Vec<f32> = (0..dims.iter().product::<i64>())
            .map(|index| {
                scale
                    * ((index as f64 * 0.618_034 + dims[0] as f64 * 0.37).fract() as f32 * 2.0
                        - 1.0)
            })
            .collect();
        TensorProto::float32(name, dims, &values)
    };
    let conv = |inputs: &[&str], output: &str, stride: i64| {
        NodeProto::new("Conv", inputs, &[output])
            .with(AttributeProto::ints("pads", [1, 1, 1, 1]))
            .with(AttributeProto::ints("strides", [stride, stride]))
    };
    let gemm = |inputs: &[&str], output: &str| {
        NodeProto::new("Gemm", inputs, &[output]).with(AttributeProto::int("transB", 1))
    };
    let size = |value| Dimension { value: Some(value), denotation: None };
    let sizes =
        [DimensionValue::Name("N".into()), DimensionValue::Size(3), DimensionValue::Size(32)];
    let [batch, channels, side] = sizes.map(size);
    let shape = TensorShapeProto { dim: vec![batch, channels, side.clone(), side] };
    let input = TypeValue::Tensor(TensorType { elem_type: Some(1), shape: Some(shape) });
    let graph = GraphProto {
        name: Some("residual".into()),
        node: vec![
            conv(&["x", "w0"], "c0", 2),
            NodeProto::new("Relu", &["c0"], &["r0"]),
            conv(&["r0", "w1", "b1"], "c1", 1),
            NodeProto::new("Relu", &["c1"], &["r1"]),
            conv(&["r1", "w2"], "c2", 1),
            NodeProto::new("Add", &["c2", "r0"], &["a2"]),
            NodeProto::new("Relu", &["a2"], &["r2"]),
            NodeProto::new("Flatten", &["r2"], &["flat"]),
            if as_keras {
                NodeProto::new("MatMul", &["flat", "w3"], &["h"])
            } else {
                gemm(&["flat", "w3", "b3"], "h")
            },
            NodeProto::new("Relu", &["h"], &["hr"]),
            gemm(&["hr", "w4"], "y"),
        ],
        initializer: vec![
            weights("w0", &[32, 3, 3, 3]),
            weights("w1", &[32, 32, 3, 3]),
            weights("b1", &[32, 1]),
            weights("w2", &[32, 32, 3, 3]),
            weights("w3", if as_keras { &[8192, 1024] } else { &[1024, 8192] }),
            weights("b3", &[1024, 1]),
            weights("w4", &[5, 1024]),
        ]
        .into_iter()
        .map(|mut tensor| {
            if tensor.name().starts_with('b') {
                tensor.dims.truncate(1);
            }
            tensor
        })
        .collect(),
        input: vec![ValueInfoProto {
            r#type: Some(TypeProto { value: Some(input), denotation: None }),
            ..ValueInfoProto::untyped("x")
        }],
        output: vec![ValueInfoProto::untyped("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(18) };
    ModelProto {
        ir_version: Some(9),
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    }
}

#[test]
fn a_residual_block_and_a_large_head_are_explained_the_same() {
    for as_keras in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.onnx"), residual(as_keras).encode_to_vec())
            .unwrap();
        let load = |fast_kernels: bool| {
            let folder = ModelFolder::read(folder.path()).unwrap();
            ModelRegistry::load_one(folder, &Settings { fast_kernels, ..settings() }).unwrap()
        };
        let (fast, plain) = (load(true), load(false));
        for layer in ["r0", "r1", "r2"] {
            agree(&fast, &plain, layer, &picture("chelsea.png"));
        }
        // The head's matrix is read once forwards and once backwards.
        let fused = fast.fused();
        assert_eq!((fused.chains, fused.products), (vec![2], 2));
    }
}
