//! camlens's own kernels compared with ONNX Runtime's, through the engine: the same model with and
//! without them.

use camlens::app::ExplainOptions;
use camlens::engine::{Model, PassRequest, Settings};
use camlens::explain::{Explanation, Method, Normalization};
use image::RgbImage;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};

use crate::support::{
    difference, explain_photo, fetched_with, load, logit_gradients, photo, run, run_default,
    settings, write,
};

/// Largest difference of two maps in 0..1.
const TOLERANCE: f32 = 1e-4;

fn with_kernels(fast_kernels: bool) -> Settings {
    Settings { fast_kernels, ..settings() }
}

/// Compares maps of a layer by three methods. Score-CAM uses a few channels only. The class is the
/// most probable one whose map is not empty.
fn assert_same_maps(fast: &Model, plain: &Model, layer: &str, image: &RgbImage) {
    for method in Method::ARTICLE {
        let map = |model: &Model, class: Option<usize>| -> Explanation {
            let options = ExplainOptions {
                method,
                layer: Some(layer.into()),
                target: class.map(|class| class.to_string()),
                max_channels: (method == Method::ScoreCam).then_some(5),
                normalize: Some(Normalization::Max),
                ..ExplainOptions::default()
            };
            explain_photo(model, image, &options).unwrap()
        };
        let probable = map(plain, None).predictions.into_iter().map(|prediction| prediction.index);
        let found =
            probable.map(|class| (class, map(plain, Some(class)))).find(|(_, map)| !map.empty);
        let (class, plain) = found.unwrap();
        let difference = difference(&map(fast, Some(class)).map, &plain.map);
        assert!(difference <= TOLERANCE, "{layer}, {method}: {difference}");
    }
}

#[test]
fn vgg16_has_the_same_maps_at_three_depths() {
    let [fast, plain] = [true, false].map(|fast| fetched_with("vgg16-mri", &with_kernels(fast)));
    assert_eq!(fast.fusion_report().conv_chains, [13]);
    assert!(plain.fusion_report().conv_chains.is_empty());
    let image = photo("chelsea");
    for layer in ["block5_conv3", "block4_conv3", "block3_conv3"] {
        assert_same_maps(&fast, &plain, layer, &image);
    }
}

/// Skipping zeros changes nothing: the same convolutions over every position give the same map.
#[test]
fn masked_passes_give_the_same_map_whether_zeros_are_skipped_or_not() {
    let [skipping, complete] = [true, false]
        .map(|skip_zeros| fetched_with("vgg16-mri", &Settings { skip_zeros, ..settings() }));
    for (name, layer) in
        [("chelsea", "block5_conv3"), ("chelsea", "block3_conv3"), ("phantom", "block4_conv3")]
    {
        let options = ExplainOptions {
            method: Method::ScoreCam,
            layer: Some(layer.into()),
            max_channels: Some(8),
            normalize: Some(Normalization::Max),
            ..ExplainOptions::default()
        };
        let map = |model| explain_photo(model, &photo(name), &options).unwrap().map;
        let (found, expected) = (map(&skipping), map(&complete));
        assert!(expected.iter().any(|&value| value > 0.5));
        let difference = difference(&found, &expected);
        assert!(difference <= 1e-5, "{name}, {layer}: {difference}");
    }
}

#[test]
fn gates_within_rounding_are_counted_where_a_gradient_goes_through_a_pooling() {
    let [fast, plain] = [true, false].map(|fast| fetched_with("vgg16-mri", &with_kernels(fast)));
    let doubtful = |model: &Model, layer: &str, image: &RgbImage| {
        let pass = logit_gradients(model.preprocess().tensor(image), &[0]);
        run(model, model.layer(Some(layer)).unwrap(), pass).doubtful_gates
    };
    let image = photo("chelsea");
    let [deep, shallow] = ["block5_conv1", "block2_conv1"]
        .map(|layer| doubtful(&fast, layer, &image).expect("a count"));
    assert!(deep < shallow, "{deep} of one pooling, {shallow} of four");
    assert!(shallow < 100_000, "{shallow} of 4 million values of those layers");
    assert_eq!(doubtful(&fast, "block2_conv1", &image), Some(shallow), "from the cache");
    assert_eq!(doubtful(&plain, "block2_conv1", &image), None);
    // A forward pass takes no gradient, so no gate matters.
    let pass =
        PassRequest { activation: true, ..PassRequest::new(fast.preprocess().tensor(&image)) };
    assert_eq!(run(&fast, fast.layer(Some("block4_conv2")).unwrap(), pass).doubtful_gates, None);
}

#[test]
fn a_model_without_chains_of_convolutions_gets_none() {
    let model = fetched_with("efficientnet-lite0", &with_kernels(true));
    assert!(model.fusion_report().conv_chains.is_empty());
    let pass = logit_gradients(model.preprocess().tensor(&photo("chelsea")), &[0]);
    assert_eq!(run_default(&model, pass).doubtful_gates, None);
}

/// A strided convolution, a ResNet block, and a large head whose matrix has Keras's layout or
/// PyTorch's.
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
fn a_residual_block_and_a_large_head_have_the_same_maps() {
    for as_keras in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &residual(as_keras), "");
        let [fast, plain] =
            [true, false].map(|fast| load(folder.path(), &with_kernels(fast)).unwrap());
        for layer in ["r0", "r1", "r2"] {
            assert_same_maps(&fast, &plain, layer, &photo("chelsea"));
        }
        // The head's matrix is used once in the forward pass and once in the backward pass.
        let fused = fast.fusion_report();
        assert_eq!((fused.conv_chains, fused.gemv), (vec![2], 2));
    }
}
