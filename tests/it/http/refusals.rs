//! Models with an operator between layer and score that has no gradient: every interface names it,
//! and methods without a gradient keep working.

use std::path::Path;
use std::process::{Command, Output};

use axum::Router;
use axum::http::StatusCode;
use camlens::config::Server;
use onnx_gradient::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TensorType, TypeProto, TypeValue, ValueInfoProto, data_type,
};
use prost::Message;
use serde_json::Value;

use super::{chelsea, get, model, post_image, service_with, start};
use crate::net::{Net, int};
use crate::support::repository;

/// A classifier of five classes; `middle` goes between its last maps `[N, 4, 30, 30]` and their
/// mean.
fn classifier(middle: impl FnOnce(&mut Net, &str) -> String) -> ModelProto {
    let mut net = Net::default();
    let kernel = net.weights(&[4, 3, 3, 3]);
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Relu", &[&maps]);
    let maps = middle(&mut net, &maps);
    let weight = net.weights(&[4, 5]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let mut model = net.model([3, 32, 32], &[&scores], 18);
    for (index, node) in model.graph.as_mut().unwrap().node.iter_mut().enumerate() {
        node.name = Some(format!("{}_{index}", node.op()));
    }
    model
}

fn branch(op: &str, input: &str) -> GraphProto {
    GraphProto {
        name: Some(op.into()),
        node: vec![NodeProto::new(op, &[input], &["of_branch"])],
        output: vec![ValueInfoProto::untyped("of_branch")],
        ..Default::default()
    }
}

fn computed_if() -> ModelProto {
    classifier(|net, maps| {
        let (sum, nothing) = (net.op("ReduceSum", &[maps]), net.float(0.0));
        let sum = net.op("Squeeze", &[&sum]);
        let is_positive = net.op("Greater", &[&sum, &nothing]);
        let branches = [("then_branch", "Relu"), ("else_branch", "Neg")]
            .map(|(name, op)| AttributeProto::graph(name, branch(op, maps)));
        net.with("If", &[&is_positive], branches.into())
    })
}

fn typed(name: &str, element: i32, shape: Option<TensorShapeProto>) -> ValueInfoProto {
    let tensor = TensorType { elem_type: Some(element), shape };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None });
    ValueInfoProto { r#type, ..ValueInfoProto::untyped(name) }
}

/// `v ← v + maps`, three times.
fn counted_loop() -> ModelProto {
    classifier(|net, maps| {
        let body = GraphProto {
            name: Some("body".into()),
            node: vec![
                NodeProto::new("Add", &["before", maps], &["after"]),
                NodeProto::new("Identity", &["goes_on"], &["goes_on_still"]),
            ],
            input: vec![
                typed("round", data_type::INT64, Some(TensorShapeProto::default())),
                typed("goes_on", data_type::BOOL, Some(TensorShapeProto::default())),
                typed("before", data_type::FLOAT, None),
            ],
            output: ["goes_on_still", "after"].map(ValueInfoProto::untyped).into(),
            ..Default::default()
        };
        let rounds = net.int(3);
        net.with("Loop", &[&rounds, "", maps], vec![AttributeProto::graph("body", body)])
    })
}

fn integer_convolution() -> ModelProto {
    classifier(|net, maps| {
        let (fine, coarse, weight) = (net.float(0.02), net.float(0.05), net.weights(&[4, 4, 1, 1]));
        let (nothing, hundred) = (net.float(0.0), net.float(100.0));
        let eight_bits = |element: i32| vec![int("to", element.into())];
        let zero = net.with("Cast", &[&nothing], eight_bits(data_type::UINT8));
        let signed_zero = net.with("Cast", &[&nothing], eight_bits(data_type::INT8));
        let weight = net.op("Mul", &[&weight, &hundred]);
        let weight = net.with("Cast", &[&weight], eight_bits(data_type::INT8));
        let maps = net.op("QuantizeLinear", &[maps, &fine, &zero]);
        let inputs = [&maps, &fine, &zero, &weight, &fine, &signed_zero, &coarse, &zero];
        let maps = net.op("QLinearConv", &inputs.map(String::as_str));
        net.op("DequantizeLinear", &[&maps, &coarse, &zero])
    })
}

fn integer_product() -> ModelProto {
    classifier(|net, maps| {
        let (weight, hundred) = (net.weights(&[30, 30]), net.float(100.0));
        let weight = net.op("Mul", &[&weight, &hundred]);
        let weight = net.with("Cast", &[&weight], vec![int("to", data_type::INT8.into())]);
        // It has three outputs: the bytes, their scale and their zero.
        let names = ["bytes", "scale", "zero"];
        net.nodes.push(NodeProto::new("DynamicQuantizeLinear", &[maps], &names));
        let product = net.op("MatMulInteger", &["bytes", &weight, "zero"]);
        let product = net.with("Cast", &[&product], vec![int("to", data_type::FLOAT.into())]);
        net.op("Mul", &[&product, "scale"])
    })
}

fn service(models: &Path) -> Router {
    service_with(start(models, "it"), Server::default()).0
}

fn inspect(models: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camlens"));
    command.env_clear().env("CAMLENS_RUNTIME", repository("runtime/libonnxruntime.so"));
    command.args(["inspect", "it/model.onnx"]).current_dir(models).output().unwrap()
}

/// What each interface reports about the first layer, the `Relu` before the operator.
async fn answers(onnx: &ModelProto) -> String {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx.encode_to_vec(), "default_layer = \"Relu_1\"\n", "");
    let service = service(folder.path());
    let described = get(&service, "/v1/models/it").await.json();
    let layer =
        described["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == "Relu_1");
    let layer = layer.unwrap_or_else(|| panic!("no such layer: {described:#}"));
    assert_eq!(layer["gradients"], false, "{layer:#}");
    let works = |method: &str| described["methods"][method]["available"].as_bool().unwrap();
    assert!(!works("gradcam") && works("scorecam"), "{described:#}");
    let reason = described["methods"]["gradcam"]["reason"].as_str().unwrap().to_owned();

    let refused = post_image(&service, "/v1/explain?method=gradcam", chelsea()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&reason), "{detail}");

    let answered = post_image(&service, "/v1/explain?method=scorecam&output=json", chelsea()).await;
    assert_eq!(answered.status, StatusCode::OK, "{:?}", answered.body);
    let map: Value = answered.json()["heatmap"].take();
    assert_eq!(map["shape"], serde_json::json!([30, 30]));

    let inspected = inspect(folder.path());
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.status.success() && text.contains(&reason), "{text}");
    reason
}

#[tokio::test]
async fn dynamic_control_flow_is_named_and_blocks_only_gradients() {
    insta::assert_snapshot!(answers(&computed_if()).await, @"operator If (node 'If_5') has no vjp");
    insta::assert_snapshot!(answers(&counted_loop()).await, @"operator Loop (node 'Loop_2') has no vjp");
}

#[tokio::test]
async fn integer_operators_are_explained_by_a_straight_through_estimate() {
    for onnx in [integer_convolution(), integer_product()] {
        let folder = tempfile::tempdir().unwrap();
        model(folder.path(), "it", &onnx.encode_to_vec(), "default_layer = \"Relu_1\"\n", "");
        let service = service(folder.path());
        let described = get(&service, "/v1/models/it").await.json();
        let layer =
            described["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == "Relu_1");
        assert_eq!(layer.unwrap()["gradient"], "straight-through", "{described:#}");
        let answered =
            post_image(&service, "/v1/explain?method=gradcam&output=json", chelsea()).await.json();
        assert_eq!(answered["heatmap"]["gradient"], "straight-through", "{answered:#}");
    }
}

/// skl2onnx ends a classifier with the label, and a map from class to probability per image.
#[tokio::test]
async fn the_probabilities_behind_a_zip_map_are_explained() {
    let mut onnx = classifier(|_, maps| maps.to_owned());
    let graph = onnx.graph.as_mut().unwrap();
    let scores = graph.output[0].name().to_owned();
    let mut zip_map = NodeProto::new("ZipMap", &["probabilities"], &["output_probability"])
        .with(AttributeProto::ints("classlabels_int64s", [0, 1, 2, 3, 4]));
    zip_map.domain = Some("ai.onnx.ml".into());
    graph.node.extend([
        NodeProto::new("Softmax", &[&scores], &["probabilities"]),
        NodeProto::new("ArgMax", &["probabilities"], &["output_label"])
            .with(AttributeProto::int("axis", 1))
            .with(AttributeProto::int("keepdims", 0)),
        zip_map,
    ]);
    graph.output = ["output_label", "output_probability"].map(ValueInfoProto::untyped).into();
    let ml = OperatorSetIdProto { domain: Some("ai.onnx.ml".into()), version: Some(1) };
    onnx.opset_import.push(ml);

    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx.encode_to_vec(), "", "");
    let service = service(folder.path());
    let described = get(&service, "/v1/models/it").await.json();
    assert_eq!(described["output"]["classes"], 5, "{described:#}");
    assert_eq!(described["output"]["kind"], "logits");
    let answered = post_image(&service, "/v1/explain?method=gradcam&output=json", chelsea()).await;
    assert_eq!(answered.status, StatusCode::OK, "{:?}", answered.body);
    let answer = answered.json();
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 5);
    assert!(
        answer["target"]["logit"].is_number() && answer["heatmap"]["empty"] == false,
        "{answer}"
    );
}

/// ONNX Runtime has CPU kernels for few operators in bfloat16: a model with others is refused, and
/// the missing one is named.
#[test]
fn an_operator_without_a_kernel_is_named() {
    let onnx = classifier(|net, maps| {
        let short = net.with("Cast", &[maps], vec![int("to", data_type::BFLOAT16.into())]);
        let short = net.op("Tanh", &[&short]);
        net.with("Cast", &[&short], vec![int("to", data_type::FLOAT.into())])
    });
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx.encode_to_vec(), "", "");
    let inspected = inspect(folder.path());
    assert!(!inspected.status.success());
    insta::assert_snapshot!(String::from_utf8(inspected.stderr).unwrap(), @"camlens: ONNX Runtime rejects the model: Could not find an implementation for Tanh(13) node with name 'Tanh_3'");
}
