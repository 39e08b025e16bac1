//! Vertex AI, whose paths its environment names.

use camlens::config::VertexRoutes;

use super::*;

const PREDICT: &str = "/v1/endpoints/7/deployedModels/9:predict";

fn vertex_service(predict: &str, health: &str) -> Router {
    let (predict_route, health_route) = (Some(predict.to_owned()), Some(health.to_owned()));
    let vertex = VertexRoutes { health_route, predict_route };
    service_with(models(), Server { vertex, ..Server::default() }).0
}

#[tokio::test]
async fn instances_become_predictions_and_parameters_are_options() {
    let service = vertex_service(PREDICT, "/v1/endpoints/7/deployedModels/9");
    let body = json!({ "instances": [{ "b64": base64() }, base64()],
        "parameters": { "method": "gradcam", "top_k": 1 } });
    let response = post_json(&service, PREDICT, &body).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    let expected = explained(&service, "&method=gradcam&top_k=1").await;
    let body = response.json();
    let predictions = body["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 2);
    for prediction in predictions {
        assert_eq!(without_timing(prediction.clone()), expected);
    }
    // `rawPredict` passes any body on.
    let response = send(&service, post(PREDICT, "image/png", chelsea())).await;
    assert_eq!(response.json()["predictions"].as_array().unwrap().len(), 1);
    let health = get(&service, "/v1/endpoints/7/deployedModels/9").await;
    assert_eq!((health.status, health.json()), (StatusCode::OK, json!({})));
    let response = post_json(&service, PREDICT, &json!({ "instances": 1 })).await;
    let (status, body) = error(&response);
    assert_eq!(status, 400);
    assert!(body["detail"].as_str().unwrap().contains("to be a list"), "{body}");
}

#[tokio::test]
async fn camlens_s_own_paths_keep_their_meaning() {
    let service = vertex_service("/v1/explain", "/health/ready");
    assert_eq!(get(&service, "/health/ready").await.json()["status"], "ready");
    let response = post_image(&service, "/v1/explain", chelsea()).await;
    assert_eq!(response.header("content-type"), "image/png");
    assert_eq!(
        get(&service, "/v1/explain").await.header("content-type"),
        "application/problem+json"
    );
}

#[tokio::test]
async fn one_path_can_be_both() {
    let service = vertex_service("/camlens", "/camlens");
    assert_eq!(get(&service, "/camlens").await.status, StatusCode::OK);
    let response = send(&service, post("/camlens", "image/png", chelsea())).await;
    assert_eq!(response.status, StatusCode::OK);
}
