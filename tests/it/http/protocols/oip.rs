//! The Open Inference Protocol v2. Requests are the bytes that tritonclient 2.73.0 and kserve
//! 0.21.0 write, but for the image.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

const LENGTH: &str = "inference-header-content-length";

/// A request as tritonclient writes it: no Content-Type, and the length of the JSON where binary
/// tensors follow it.
fn triton(path: &str, json: &str, binary: &[u8]) -> Request<Body> {
    let body = [json.as_bytes(), binary].concat();
    Request::post(path).header(LENGTH, json.len()).body(Body::from(body)).unwrap()
}

/// The elements of a BYTES tensor.
fn bytes_tensor(elements: &[&[u8]]) -> Vec<u8> {
    let element = |element: &&[u8]| [&(element.len() as u32).to_le_bytes(), *element].concat();
    elements.iter().flat_map(element).collect()
}

/// The JSON of a response, and the bytes of its binary outputs by name.
fn outputs(response: &Answered) -> (Value, Vec<(String, Vec<u8>)>) {
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    let length = match response.header(LENGTH) {
        "" => response.body.len(),
        length => length.parse().unwrap(),
    };
    let (json, mut rest) = response.body.split_at(length);
    let json: Value = serde_json::from_slice(json).unwrap();
    let mut binary = Vec::new();
    for output in json["outputs"].as_array().unwrap() {
        if let Some(size) = output["parameters"]["binary_data_size"].as_u64() {
            assert!(output.get("data").is_none());
            let (bytes, left) = rest.split_at(size as usize);
            binary.push((output["name"].as_str().unwrap().to_owned(), bytes.to_vec()));
            rest = left;
        }
    }
    assert!(rest.is_empty());
    (json, binary)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
}

/// An output's data in JSON.
fn data<'a>(json: &'a Value, name: &str) -> &'a Value {
    let outputs = json["outputs"].as_array().unwrap();
    outputs.iter().find(|output| output["name"] == name).unwrap()
}

/// The values of the map in `/v1/explain`'s response.
fn map(explanation: &Value) -> Vec<f32> {
    let rows = explanation["heatmap"]["data"].as_array().unwrap().iter();
    let values = rows.flat_map(|row| row.as_array().unwrap());
    values.map(|value| value.as_f64().unwrap() as f32).collect()
}

#[tokio::test]
async fn triton_s_client_gets_all_outputs_of_an_image_as_binary() {
    let service = service();
    let image = bytes_tensor(&[&chelsea()]);
    let json = format!(
        "{{\"inputs\":[{{\"name\":\"image\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":\
         {{\"binary_data_size\":{}}}}}],\"parameters\":{{\"binary_data_output\":true}}}}",
        image.len()
    );
    let response = send(&service, triton("/v2/models/tiny/infer", &json, &image)).await;
    let (json, binary) = outputs(&response);
    assert_eq!((&json["model_name"], &json["model_version"]), (&json!("tiny"), &json!("1")));
    assert!(json.get("id").is_none());
    let expected = explained(&service, "&top_k=10").await;
    let names: Vec<&str> = binary.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["heatmap", "target", "probabilities"]);
    assert_eq!(data(&json, "heatmap")["shape"], json!([1, 4, 4]));
    assert_eq!(floats(&binary[0].1), map(&expected));
    assert_eq!(binary[1].1, expected["target"]["index"].as_i64().unwrap().to_le_bytes());
    let probabilities = floats(&binary[2].1);
    assert_eq!(data(&json, "probabilities")["shape"], json!([1, 10]));
    for prediction in expected["predictions"].as_array().unwrap() {
        let index = prediction["index"].as_u64().unwrap() as usize;
        assert_eq!(f64::from(probabilities[index]) as f32, {
            prediction["probability"].as_f64().unwrap() as f32
        });
    }
    assert_eq!(json["parameters"]["method"], "gradcam++");
    assert_eq!(json["parameters"]["layer"], expected["layer"]);
}

#[tokio::test]
async fn a_compressed_request_counts_the_json_before_compression() {
    let service = service();
    let tensor: Vec<u8> = tensor().iter().flat_map(|value| value.to_le_bytes()).collect();
    let json = json!({
        "inputs": [{ "name": "input", "shape": [1, 3, 64, 64], "datatype": "FP32",
            "parameters": { "binary_data_size": tensor.len() } }],
        "outputs": [{ "name": "heatmap", "parameters": { "binary_data": true } }],
        "parameters": { "method": "gradcam" },
    })
    .to_string();
    let whole = [json.as_bytes(), &tensor].concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&whole).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&whole).unwrap();
    let expected = map(&explained(&service, "&method=gradcam").await);
    for (coding, body) in [("gzip", gzip.finish().unwrap()), ("deflate", zlib.finish().unwrap())] {
        let request = Request::post("/v2/models/tiny/infer")
            .header(LENGTH, json.len())
            .header("content-encoding", coding)
            .body(Body::from(body))
            .unwrap();
        let (_, binary) = outputs(&send(&service, request).await);
        assert_eq!(binary.len(), 1);
        assert_eq!(floats(&binary[0].1), expected, "{coding}");
    }
    let request = Request::post("/v2/models/tiny/infer").header("content-encoding", "br");
    let response = send(&service, request.body(Body::from("x")).unwrap()).await;
    assert_eq!(response.header("accept-encoding"), "gzip, deflate");
    let text = "Content-Encoding 'br' is not accepted; gzip, deflate are";
    assert_eq!(error(&response), (415, json!({ "error": text })));
}

/// A gzip body that expands beyond the limit of bodies.
#[tokio::test]
async fn a_small_body_that_expands_is_refused() {
    let (service, _) = service_with(models(), Server { body_bytes: 100_000, ..Server::default() });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&vec![b' '; 10 << 20]).unwrap();
    let request = Request::post("/v2/models/tiny/infer").header("content-encoding", "gzip");
    let response = send(&service, request.body(gzip.finish().unwrap().into()).unwrap()).await;
    let text = "the decompressed body is over the limit of 100000 bytes";
    assert_eq!(error(&response), (413, json!({ "error": text })));
}

#[tokio::test]
async fn json_tensors_of_several_instances_give_one_row_each() {
    let service = service();
    let planes = nested(&tensor());
    let flat: Vec<f32> = tensor().iter().copied().collect();
    let expected = explained(&service, "&target=2&top_k=10").await;
    for data_of_two in [json!([planes, planes]), json!([flat.clone(), flat].concat())] {
        let body = json!({
            "id": "7",
            "inputs": [{ "name": "input", "shape": [2, 3, 64, 64], "datatype": "FP32",
                "data": data_of_two }],
            "outputs": [{ "name": "target" }, { "name": "heatmap" },
                { "name": "probabilities", "parameters": { "binary_data": false } }],
            "parameters": { "target": 2, "priority": 0, "timeout": 9 },
        });
        let (json, binary) =
            outputs(&post_json(&service, "/v2/models/tiny/versions/1/infer", &body).await);
        assert!(binary.is_empty());
        assert_eq!(json["id"], "7");
        assert_eq!(data(&json, "target")["data"], json!([2, 2]));
        assert_eq!(data(&json, "target")["datatype"], "INT64");
        assert_eq!(data(&json, "heatmap")["shape"], json!([2, 4, 4]));
        let twice = [map(&expected), map(&expected)].concat();
        let values = data(&json, "heatmap")["data"].as_array().unwrap().iter();
        let values: Vec<f32> = values.map(|value| value.as_f64().unwrap() as f32).collect();
        assert_eq!(values, twice);
        assert_eq!(data(&json, "probabilities")["shape"], json!([2, 10]));
    }
}

#[tokio::test]
async fn scores_alone_need_no_map() {
    let service = service();
    let body = json!({
        "inputs": [{ "name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [[base64()]],
            "parameters": { "content_type": "base64" } }],
        "outputs": [{ "name": "probabilities" }],
    });
    let (json, _) = outputs(&post_json(&service, "/v2/models/tiny/infer", &body).await);
    let sum: f64 = data(&json, "probabilities")["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    assert!(json["parameters"].get("method").is_none());
}

#[tokio::test]
async fn a_raw_request_is_one_image_and_its_outputs_are_binary() {
    let service = service();
    let (_, binary) = outputs(
        &send(&service, triton("/v2/models/tiny/infer?method=gradcam", "", &chelsea())).await,
    );
    assert_eq!(floats(&binary[0].1), map(&explained(&service, "&method=gradcam").await));
}

#[tokio::test]
async fn an_explainer_is_a_model_as_in_mlserver() {
    let service = service();
    let input = json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [base64()],
        "parameters": { "content_type": "base64" } });
    let expected = explained(&service, "&method=gradcam&top_k=2").await;
    let options = json!({ "method": "gradcam", "top_k": 2 });
    let of_explainer =
        json!({ "inputs": [input], "parameters": { "explain_parameters": options } });
    let named = json!({ "inputs": [input], "outputs": [{ "name": "explanation" }],
        "parameters": options });
    for (path, body) in [
        ("/v2/models/tiny/infer", &of_explainer),
        ("/v2/models/tiny-explainer/infer", &of_explainer),
        ("/v2/models/tiny/infer", &named),
    ] {
        let (json, _) = outputs(&post_json(&service, path, body).await);
        let output = data(&json, "explanation");
        assert_eq!(output["shape"], json!([1, 1]));
        assert_eq!(output["datatype"], "BYTES");
        assert_eq!(output["parameters"]["content_type"], "str");
        let text = output["data"][0].as_str().unwrap();
        assert_eq!(without_timing(serde_json::from_str(text).unwrap()), expected, "{path}");
        assert_eq!(json["parameters"]["headers"]["x-seldon-alibi-type"], "explanation");
        assert_eq!(json["parameters"]["headers"]["x-seldon-alibi-method"], "gradcam");
    }
    // The older path gives the JSON itself.
    let response = post_json(&service, "/explain", &of_explainer).await;
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(without_timing(response.json()), expected);
    let described = get(&service, "/v2/models/tiny-explainer").await.json();
    assert_eq!(described["outputs"][0]["name"], "explanation");
}

#[tokio::test]
async fn server_and_models_describe_themselves() {
    let service = service();
    let server = get(&service, "/v2").await.json();
    assert_eq!(server["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(get(&service, "/v2/health/live").await.json(), json!({ "live": true }));
    let ready = get(&service, "/v2/health/ready").await.json();
    assert_eq!(ready, json!({ "ready": true, "live": true }));
    insta::assert_snapshot!(get(&service, "/v2/models/tiny").await.json().to_string(), @r#"{"inputs":[{"datatype":"BYTES","name":"image","shape":[-1,1]},{"datatype":"FP32","name":"input","shape":[-1,3,64,64]}],"name":"tiny","outputs":[{"datatype":"FP32","name":"heatmap","shape":[-1,-1,-1]},{"datatype":"INT64","name":"target","shape":[-1]},{"datatype":"FP32","name":"probabilities","shape":[-1,10]},{"datatype":"BYTES","name":"explanation","shape":[-1,1]}],"platform":"onnx_onnxv1","versions":["1"]}"#);
    let ready = get(&service, "/v2/models/tiny/ready").await.json();
    assert_eq!(ready, json!({ "name": "tiny", "ready": true }));
    let names = get(&service, "/v2/models").await.json();
    assert_eq!(names, json!({ "models": ["broken", "cropped", "nan", "tiny"] }));
    for (path, status, text) in [
        ("/v2/models/none/ready", 404, "Model with name none does not exist."),
        ("/v2/models/broken/ready", 503, "Model with name broken is not ready."),
        ("/v2/models/broken", 503, "Model with name broken is not ready."),
        ("/v2/models/none-explainer", 404, "Model with name none-explainer does not exist."),
        ("/v2/models/tiny/versions/2", 404, "Model with name tiny has version 1, not 2."),
        ("/v2/repository", 404, "there is nothing at /v2/repository; /docs lists the paths"),
    ] {
        assert_eq!(error(&get(&service, path).await), (status, json!({ "error": text })), "{path}");
    }
}

#[tokio::test]
async fn a_draining_service_is_alive_and_not_ready() {
    let (service, state) = service_with(models(), Server::default());
    state.admission().drain();
    assert_eq!(get(&service, "/v2/health/live").await.status, StatusCode::OK);
    let response = get(&service, "/v2/health/ready").await;
    let text = "the service is shutting down";
    assert_eq!(error(&response), (503, json!({ "error": text })));
}

#[tokio::test]
async fn what_is_wrong_with_a_tensor_is_said() {
    let service = service();
    let path = "/v2/models/tiny/infer";
    let refused = async |request: Request<Body>, status: u16, words: &str| {
        let (found, body) = error(&send(&service, request).await);
        let text = body["error"].as_str().unwrap();
        assert!(found == status && text.contains(words), "{found} {text}, not {words}");
    };
    let image = |more: Value| {
        let mut body = json!({ "inputs": [{ "name": "image", "shape": [1], "datatype": "BYTES",
            "data": ["AAAA"] }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(path, "application/json", body.to_string())
    };
    let input =
        |input: Value| post(path, "application/json", json!({ "inputs": [input] }).to_string());
    let unknown =
        "there is no output 'logits'; there are heatmap, target, probabilities, explanation";
    refused(image(json!({ "outputs": [{ "name": "logits" }] })), 400, unknown).await;
    let twice = json!({ "outputs": [{ "name": "target" }, { "name": "target" }] });
    refused(image(twice), 400, "requested twice").await;
    let top = json!({ "outputs": [{ "name": "target", "parameters": { "classification": 3 } }] });
    refused(image(top), 400, "classification is not supported").await;
    refused(image(json!({ "parameters": { "metod": "x" } })), 400, "there is no option 'metod'")
        .await;
    refused(image(json!({ "parameters": { "model": "x" } })), 400, "the path names the model")
        .await;
    refused(image(json!({ "parameters": { "target": "1,2" } })), 400, "several classes").await;
    refused(image(json!({})), 415, "This is not an image").await;
    refused(image(json!({ "inputs": [] })), 400, "the request has 0 inputs; it takes one").await;
    let value =
        json!({ "name": "input", "shape": [1, 3, 64, 64], "datatype": "FP32", "data": [1] });
    refused(input(value), 400, "has shape [1, 3, 64, 64], its data 1 values").await;
    let other =
        json!({ "name": "input", "shape": [1, 1, 1, 2], "datatype": "FP32", "data": [1.0, 2.0] });
    refused(input(other), 400, "is no input of model 'tiny', which takes [3, 64, 64]").await;
    let double = json!({ "name": "input", "shape": [1], "datatype": "FP64", "data": [1] });
    refused(input(double), 400, "there is no input 'input' of FP64; there are 'image' (BYTES)")
        .await;
    let empty = json!({ "name": "input", "shape": [0, 3, 64, 64], "datatype": "FP32", "data": [] });
    refused(input(empty), 400, "is empty").await;
    let negative = json!({ "name": "image", "shape": [-1], "datatype": "BYTES", "data": ["AAAA"] });
    refused(input(negative), 400, "invalid value").await;
    for (length, status) in [("-1", 400), ("9", 400), ("x", 400)] {
        let request = Request::post(path).header(LENGTH, length).body(Body::from("{}")).unwrap();
        refused(request, status, "must be from 0 to the body's 2 bytes").await;
    }
    let binary = |size: usize, bytes: &[u8]| {
        let json = json!({ "inputs": [{ "name": "image", "shape": [1], "datatype": "BYTES",
            "parameters": { "binary_data_size": size } }] });
        triton(path, &json.to_string(), bytes)
    };
    refused(binary(8, b"\x03\0\0\0abc"), 400, "binary_data_size is not the size of its data").await;
    refused(binary(6, b"\x03\0\0\0abc"), 400, "1 bytes after the JSON belong to no input").await;
    refused(binary(7, b"\x04\0\0\0abc"), 400, "ends early").await;
    refused(binary(usize::MAX, b"abc"), 400, "binary_data_size").await;
    refused(binary(7, b"\x03\0\0\0abc"), 415, "This is text").await;
    still_answers(&service).await;
}
