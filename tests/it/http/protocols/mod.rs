//! The protocols of other inference servers, with requests as their clients write them.

mod contract;
mod keys;
mod kserve;
mod oip;
mod sagemaker;
mod torchserve;
mod vertex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::support::photo;

/// `chelsea.png` in base64.
fn base64() -> String {
    STANDARD.encode(chelsea())
}

/// What `/v1/explain` says about `chelsea.png`, without what changes from run to run.
async fn explained(service: &Router, query: &str) -> Value {
    let path = format!("/v1/explain?output=json{query}");
    without_timing(post_image(service, &path, chelsea()).await.json())
}

/// A JSON response without the time that it took.
fn without_timing(mut body: Value) -> Value {
    assert!(body.as_object_mut().unwrap().remove("timing_ms").is_some(), "{body}");
    body
}

/// The input that the model `tiny` computes from `chelsea.png`, `[3, 64, 64]`.
fn tensor() -> ndarray::Array3<f32> {
    let model = models().get(Some("tiny")).unwrap();
    model.preprocess().tensor(&photo("chelsea")).remove_axis(ndarray::Axis(0))
}

/// An array as nested lists.
fn nested(array: &ndarray::Array3<f32>) -> Value {
    let row = |row: ndarray::ArrayView1<'_, f32>| row.to_vec();
    let planes = array.outer_iter().map(|plane| plane.rows().into_iter().map(row).collect());
    json!(planes.collect::<Vec<Vec<_>>>())
}

async fn post_json(service: &Router, path: &str, body: &Value) -> Answered {
    send(service, post(path, "application/json", body.to_string())).await
}

/// The status and the body of an error in a protocol's own form.
fn error(response: &Answered) -> (u16, Value) {
    // KServe's client reads the message only if the type is exactly this.
    assert_eq!(response.header("content-type"), "application/json", "{:?}", response.body);
    assert!(!response.header("x-request-id").is_empty());
    (response.status.as_u16(), response.json())
}
