//! SageMaker.

use super::*;

const ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";

fn invocation(accept: Option<&str>, attributes: &str) -> Request<Body> {
    let mut request = Request::post("/invocations").header("content-type", "image/png");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    if !attributes.is_empty() {
        request = request.header(ATTRIBUTES, attributes);
    }
    request.body(chelsea().into()).unwrap()
}

#[tokio::test]
async fn an_invocation_explains_and_accept_decides_the_form() {
    let service = service();
    for accept in [None, Some("*/*"), Some("application/json")] {
        let response = send(&service, invocation(accept, "")).await;
        assert_eq!(response.header("content-type"), "application/json", "{accept:?}");
        assert_eq!(without_timing(response.json()), explained(&service, "").await);
    }
    let response = send(&service, invocation(Some("image/png"), "")).await;
    let picture = post_image(&service, "/v1/explain", chelsea()).await;
    assert_eq!(response.body, picture.body);
    let response = send(&service, invocation(Some("application/x-npy"), "")).await;
    assert_eq!(response.body, post_image(&service, "/v1/explain?output=npy", chelsea()).await.body);
    let body = json!({ "image": base64(), "method": "gradcam" });
    let response = post_json(&service, "/invocations", &body).await;
    assert_eq!(without_timing(response.json()), explained(&service, "&method=gradcam").await);
}

/// SageMaker removes every other header, so the facts of a picture come back in this one.
#[tokio::test]
async fn custom_attributes_carry_options_in_and_facts_out() {
    let service = service();
    let request = invocation(Some("image/png"), "method=gradcam++; target=thing 3; model=tiny");
    let response = send(&service, request).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    let probability = response.header("camlens-probability");
    let facts = response.header(ATTRIBUTES);
    assert!(
        facts.starts_with("model=tiny;method=gradcam++;layer=features.29;target=3;"),
        "{facts}"
    );
    assert!(facts.contains(&format!(";probability={probability};")), "{facts}");
}

#[tokio::test]
async fn errors_have_the_form_of_its_servers() {
    let service = service();
    let (status, body) = error(&send(&service, invocation(None, "metod=x")).await);
    assert_eq!((status, &body["type"]), (400, &json!("BadRequestException")));
    assert!(body["message"].as_str().unwrap().starts_with("there is no option 'metod'"), "{body}");
    let (status, body) = error(&send(&service, invocation(None, "trace-42")).await);
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("name=value"), "{body}");
    let (status, _) = error(&send(&service, invocation(None, "model=none")).await);
    assert_eq!(status, 404);
}
