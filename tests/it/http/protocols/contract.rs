//! The protocols' responses match the schemas in `openapi.yaml`.

use super::super::contract::matches_schema;
use super::*;

#[tokio::test]
async fn responses_match_their_schemas() {
    let service = service();
    let instances = json!({ "instances": [{ "b64": base64() }, base64()] });
    matches_schema("InstancesRequest", &instances);
    let inference = json!({ "id": "1", "inputs": [{ "name": "image", "shape": [1],
        "datatype": "BYTES", "data": [base64()] }] });
    matches_schema("OipRequest", &inference);
    let image = |path: &str| post(path, "image/png", chelsea());
    let json = |path: &str, body: &Value| post(path, "application/json", body.to_string());
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    for (schema, request) in [
        ("KserveExplanations", json("/v1/models/tiny:explain", &instances)),
        ("KservePredictions", json("/v1/models/tiny:predict", &instances)),
        ("KserveError", image("/v1/models/none:predict")),
        ("OipServer", get("/v2")),
        ("OipHealth", get("/v2/health/live")),
        ("OipHealth", get("/v2/health/ready")),
        ("OipModels", get("/v2/models")),
        ("OipModel", get("/v2/models/tiny")),
        ("OipModel", get("/v2/models/tiny-explainer")),
        ("OipModelReady", get("/v2/models/tiny/ready")),
        ("OipResponse", json("/v2/models/tiny/infer", &inference)),
        ("OipResponse", json("/v2/models/tiny-explainer/infer", &inference)),
        ("KserveError", json("/v2/models/none/infer", &inference)),
        ("Explanation", json("/explain", &inference)),
        ("Explanation", image("/explanations/tiny")),
        ("TorchServePredictions", image("/predictions/tiny")),
        ("TorchServeError", image("/predictions/none")),
        ("Ping", get("/ping")),
        ("Explanation", image("/invocations")),
        ("TorchServeError", get("/invocations")),
        ("Problem", get("/v1/models/none")),
    ] {
        matches_schema(schema, &send(&service, request).await.json());
    }
}
