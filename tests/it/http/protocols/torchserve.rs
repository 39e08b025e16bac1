//! TorchServe.

use axum::http::Method;

use super::*;

fn put(path: &str, body: Vec<u8>) -> Request<Body> {
    // `curl -T` sends no Content-Type.
    Request::builder().method(Method::PUT).uri(path).body(body.into()).unwrap()
}

#[tokio::test]
async fn predictions_are_labels_with_probabilities_most_probable_first() {
    let service = service();
    let expected = post_image(&service, "/v1/predict", chelsea()).await.json();
    let member =
        |one: &Value| (one["label"].as_str().unwrap().to_owned(), one["probability"].clone());
    let expected: Vec<_> = expected["predictions"].as_array().unwrap().iter().map(member).collect();
    assert_eq!(expected.len(), 5);
    let body = format!(
        "{{{}}}",
        expected.iter().map(|(label, p)| format!("{label:?}:{p}")).collect::<Vec<_>>().join(",")
    );
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    let data = String::from_utf8_lossy(&form(&[], Some(b"@"))).replace("\"image\"", "\"data\"");
    let (before, after) = data.split_once('@').unwrap();
    let data = [before.as_bytes(), &chelsea(), after.as_bytes()].concat();
    for request in [
        put("/predictions/tiny", chelsea()),
        put("/predictions/tiny/1.0", chelsea()),
        post("/predictions/tiny", "application/octet-stream", chelsea()),
        post("/predictions/tiny", &multipart, data),
        post("/predictions/tiny", "application/json", json!({ "image": base64() }).to_string()),
    ] {
        let response = send(&service, request).await;
        assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
        assert_eq!(response.header("content-type"), "application/json");
        // The order of the members counts, so the text is compared.
        let found = String::from_utf8(response.body.to_vec()).unwrap();
        let order = |text: &str| {
            let labels = expected.iter().map(|(label, _)| text.find(label.as_str()).unwrap());
            labels.collect::<Vec<_>>()
        };
        assert!(order(&found).is_sorted(), "{found}");
        assert_eq!(response.json(), serde_json::from_str::<Value>(&body).unwrap());
    }
}

#[tokio::test]
async fn a_class_without_a_label_is_named_by_its_index() {
    let service = service();
    let body = send(&service, put("/predictions/cropped?top_k=10", chelsea())).await.json();
    let names =
        body.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names, (0..10).map(|index| index.to_string()).collect());
}

#[tokio::test]
async fn an_explanation_is_json_unless_a_picture_is_accepted() {
    let service = service();
    let expected = explained(&service, "&target=3").await;
    let response = send(&service, put("/explanations/tiny?target=3", chelsea())).await;
    assert_eq!(without_timing(response.json()), expected);
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    let body = form(&[("target", "3")], Some(&chelsea()));
    let response = send(&service, post("/explanations/tiny", &multipart, body)).await;
    assert_eq!(without_timing(response.json()), expected);
    let request = Request::post("/explanations/tiny").header("accept", "image/png");
    let response = send(&service, request.body(chelsea().into()).unwrap()).await;
    assert_eq!(response.header("content-type"), "image/png");
    assert_eq!(response.header("camlens-model"), "tiny");
}

#[tokio::test]
async fn errors_have_torchserve_s_form() {
    let service = service();
    for (request, code, name, message) in [
        (
            put("/predictions/none", chelsea()),
            404,
            "ModelNotFoundException",
            "Model with name none does not exist.",
        ),
        (
            put("/predictions/tiny/2.0", chelsea()),
            404,
            "ModelNotFoundException",
            "Every model has version 1.0, not 2.0.",
        ),
        (
            put("/explanations/broken", chelsea()),
            503,
            "ServiceUnavailableException",
            "Model with name broken is not ready.",
        ),
        (
            put("/explanations/tiny?metod=x", chelsea()),
            400,
            "BadRequestException",
            "there is no option 'metod'",
        ),
        (put("/predictions/tiny", b"abc".to_vec()), 415, "BadRequestException", "This is text"),
        (put("/predictions/tiny", Vec::new()), 415, "BadRequestException", "The image is empty"),
        (
            put("/predictions", chelsea()),
            404,
            "ResourceNotFoundException",
            "there is nothing at /predictions",
        ),
        (
            Request::get("/explanations/tiny").body(Body::empty()).unwrap(),
            405,
            "MethodNotAllowedException",
            "does not support GET",
        ),
    ] {
        let (status, body) = error(&send(&service, request).await);
        assert_eq!((status, &body["code"]), (code, &json!(code)), "{body}");
        assert_eq!(body["type"], name, "{body}");
        assert!(body["message"].as_str().unwrap().contains(message), "{body}");
    }
}

#[tokio::test]
async fn ping_says_whether_the_service_accepts_work() {
    let (service, state) = service_with(models(), Server::default());
    let response = get(&service, "/ping").await;
    assert_eq!(response.json(), json!({ "status": "Healthy" }));
    state.admission().drain();
    let response = get(&service, "/ping").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.json()["type"], "ServiceUnavailableException");
}
