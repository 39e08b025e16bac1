//! KServe v1.

use super::*;
use camlens::app::Cost;
use camlens::engine::JobClass;

/// The bytes that kserve 0.21.0's client sends for `:explain`, but for the instance.
#[tokio::test]
async fn an_explanation_is_that_of_v1_explain_for_each_instance() {
    let service = service();
    let image = base64();
    let body = json!({ "instances": [{ "b64": image }, image, { "image": { "b64": image } },
        { "image": format!("data:image/png;base64,{image}") }] });
    let response = post_json(&service, "/v1/models/tiny:explain", &body).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    assert_eq!(response.header("content-type"), "application/json");
    let expected = explained(&service, "").await;
    let body = response.json();
    let explanations = body["explanations"].as_array().unwrap();
    assert_eq!(explanations.len(), 4);
    for explanation in explanations {
        assert_eq!(without_timing(explanation.clone()), expected);
    }
}

#[tokio::test]
async fn a_nested_array_is_the_model_s_input_in_either_layout() {
    let service = service();
    let planes = tensor();
    let pixels = planes.view().permuted_axes([1, 2, 0]).as_standard_layout().into_owned();
    let body = json!({
        "instances": [nested(&planes), nested(&pixels), [nested(&planes)]],
        "parameters": { "method": "gradcam", "target": 3 },
    });
    let response = post_json(&service, "/v1/models/tiny:explain", &body).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    let expected = explained(&service, "&method=gradcam&target=3").await;
    for explanation in response.json()["explanations"].as_array().unwrap() {
        for member in ["heatmap", "target", "predictions", "method"] {
            assert_eq!(explanation[member], expected[member], "{member}");
        }
        assert_eq!(
            explanation["image"],
            json!({ "width": 64, "height": 64, "seen": [0.0, 0.0, 64.0, 64.0] })
        );
    }
}

#[tokio::test]
async fn a_prediction_is_that_of_v1_predict_and_a_body_may_be_the_image_itself() {
    let service = service();
    let path = "/v1/models/tiny:predict?top_k=3";
    let expected =
        without_timing(post_image(&service, "/v1/predict?top_k=3", chelsea()).await.json());
    let instances = json!({ "instances": [{ "b64": base64() }] });
    let requests = [
        post(path, "application/json", instances.to_string()),
        // KServe's server takes octets for JSON; its client may send no type at all.
        post(path, "application/octet-stream", instances.to_string()),
        Request::post(path).body(Body::from(instances.to_string())).unwrap(),
        post(path, "image/png", chelsea()),
        post(path, "application/octet-stream", chelsea()),
        Request::post(path).body(Body::from(chelsea())).unwrap(),
    ];
    for request in requests {
        let headers = request.headers().clone();
        let response = send(&service, request).await;
        assert_eq!(response.status, StatusCode::OK, "{headers:?} {:?}", response.body);
        let mut body = response.json();
        let predictions = body["predictions"].as_array_mut().unwrap();
        assert_eq!(predictions.len(), 1);
        assert_eq!(without_timing(predictions.remove(0)), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn errors_have_the_form_that_kserve_s_client_reads() {
    let service = service();
    let ask = async |path: &str, body: &str| {
        let response = send(&service, post(path, "application/json", body.to_owned())).await;
        let (status, body) = error(&response);
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        (status, body["error"].as_str().unwrap().to_owned())
    };
    let one = json!({ "instances": [base64()] }).to_string();
    let (explain, predict) = ("/v1/models/tiny:explain", "/v1/models/tiny:predict");
    let of = async |path: &str, body: &str, status: u16, words: &str| {
        let (found, text) = ask(path, body).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
    };
    of("/v1/models/none:explain", &one, 404, "Model with name none does not exist.").await;
    of("/v1/models/broken:predict", &one, 503, "Model with name broken is not ready.").await;
    of("/v1/models/tiny:train", &one, 404, "a model has ':predict' and ':explain'").await;
    let no_list = "Expected \"instances\" to be a list";
    for body in ["{\"instances\": 1}", "{\"instances\": {}}", "{\"instances\": \"a\"}", "{}"] {
        of(explain, body, 400, no_list).await;
    }
    of(explain, "{\"instances\": []}", 400, "the request has no instance").await;
    // What the client's own example sends.
    of(explain, "{\"instances\":[1]}", 400, "an instance is an image file in base64").await;
    of(explain, "{\"instances\":[{\"b64\":\"@@@\"}]}", 400, "not base64").await;
    of(explain, "{\"instances\":[[[1,2],[3]]]}", 400, "rows of equal length").await;
    of(explain, "{\"instances\":[[[[1]]]]}", 400, "an array of shape [1, 1, 1] is no input").await;
    of(explain, "{\"instances\":[{\"b64\":\"AAAA\"}]}", 415, "This is not an image").await;
    of(explain, "{\"instances\":[\"AAAA\", \"AAAA\"]}", 415, "instance 0: ").await;
    of(explain, "{\"instances\"", 400, "the JSON could not be read").await;
    of(explain, "{\"instances\":[\"\"],\"x\":1}", 400, "unknown field `x`").await;
    of(explain, "{\"instances\":[{\"b64\":[[1]]}]}", 400, "an instance is an image file").await;
    of(explain, "{\"instances\":[{}]}", 400, "an instance is an image file").await;
    of(explain, "{\"instances\":[{\"b64\":\"AAAA\",\"x\":1}]}", 400, "no member 'x'").await;
    let parameters = |parameters: Value| {
        json!({ "instances": [base64()], "parameters": parameters }).to_string()
    };
    of(explain, &parameters(json!({ "metod": "x" })), 400, "there is no option 'metod'").await;
    of(explain, &parameters(json!({ "target": 77 })), 422, "77").await;
    of(explain, &parameters(json!({ "output": "gray" })), 400, "option 'output' can't be 'gray'")
        .await;
    of(explain, &parameters(json!({ "model": "cropped" })), 400, "given twice").await;
    of(predict, &parameters(json!({ "method": "gradcam" })), 400, "there is no option 'method'")
        .await;
    let many = json!({ "instances": vec!["AAAA"; 65] }).to_string();
    of(explain, &many, 400, "the request has 65 instances; 64 are possible").await;
    still_answers(&service).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_that_form() {
    let server = Server { body_bytes: 1000, ..Server::default() };
    let (service, _) = service_with(models(), server);
    let body = json!({ "instances": [base64()] });
    let response = post_json(&service, "/v1/models/tiny:explain", &body).await;
    let text = "the body is over the limit of 1000 bytes";
    assert_eq!(error(&response), (413, json!({ "error": text })));
}

#[tokio::test]
async fn a_full_queue_and_a_drain_are_told_in_that_form() {
    let (service, state) = service_with(models(), Server { queue: 1, ..Server::default() });
    let cost = Cost { class: JobClass::Short, bytes: 0 };
    let permit = state.admission().begin().unwrap().queue(cost).unwrap();
    let body = json!({ "instances": [base64()] });
    let response = post_json(&service, "/v1/models/tiny:explain", &body).await;
    assert_eq!((response.header("retry-after"), error(&response).0), ("1", 503));
    drop(permit);
    state.admission().drain();
    let response = post_json(&service, "/v1/models/tiny:predict", &body).await;
    let text = "the service is shutting down";
    assert_eq!(error(&response), (503, json!({ "error": text })));
}

#[tokio::test]
async fn models_have_the_members_that_kserve_s_client_reads() {
    let service = service();
    let list = get(&service, "/v1/models").await.json();
    assert_eq!(list["models"], json!(["broken", "cropped", "nan", "tiny"]));
    let model = get(&service, "/v1/models/tiny").await.json();
    assert_eq!((&model["name"], &model["ready"]), (&json!("tiny"), &json!(true)));
    // The path is camlens's own, too, which tells a model that will never be ready by its status.
    let broken = get(&service, "/v1/models/broken").await;
    assert_eq!(broken.status, StatusCode::FAILED_DEPENDENCY);
    assert_eq!(broken.json()["error"], "Model with name broken is not ready.");
    let none = get(&service, "/v1/models/none").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(none.json()["error"], "Model with name none does not exist.");
    // The path is camlens's own, too.
    assert_eq!(none.header("content-type"), "application/problem+json");
}

/// For the router, a model and its verbs are one path.
#[tokio::test]
async fn a_model_is_not_posted_to_and_a_verb_is_not_read() {
    let service = service();
    for (method, path, allow) in [
        ("POST", "/v1/models/tiny", "GET,HEAD"),
        ("PUT", "/v1/models/tiny", "GET,HEAD"),
        ("GET", "/v1/models/tiny:explain", "POST"),
        ("GET", "/v1/models/tiny%3Apredict", "POST"),
        ("PUT", "/v1/models/tiny:predict", "POST"),
        ("OPTIONS", "/v1/models/reload", "POST"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = send(&service, request).await;
        let found = (response.status.as_u16(), response.header("allow"));
        assert_eq!(found, (405, allow), "{method} {path}");
    }
}

/// KServe names the model like the InferenceService.
#[tokio::test]
async fn the_default_model_has_the_name_that_kserve_gives_it() {
    let server = Server { model_name: Some("my-cats".into()), ..Server::default() };
    let (service, _) = service_with(models(), server);
    let body = json!({ "instances": [base64()] });
    let response = post_json(&service, "/v1/models/my-cats:explain", &body).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.body);
    let model = get(&service, "/v1/models/my-cats").await.json();
    assert_eq!((&model["name"], &model["id"]), (&json!("my-cats"), &json!("tiny")));
    let names = get(&service, "/v1/models").await.json()["models"].take();
    assert_eq!(names, json!(["broken", "cropped", "nan", "tiny", "my-cats"]));
    let response = post_image(&service, "/v1/predict?model=my-cats", chelsea()).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(get(&service, "/v1/models/cats").await.status, StatusCode::NOT_FOUND);
}

/// Its client asks whether a server is alive at the root, where the page is, and names no type.
#[tokio::test]
async fn the_root_says_that_it_is_alive_to_a_client_that_does_not_ask_for_html() {
    let service = service();
    let ask = async |accept: &str| {
        let request = Request::get("/").header("accept", accept).body(Body::empty()).unwrap();
        send(&service, request).await
    };
    for accept in ["*/*", "application/json", "text/html;q=0, */*"] {
        let response = ask(accept).await;
        assert_eq!(response.json(), json!({ "status": "alive" }), "{accept}");
        assert_eq!(response.header("vary"), "accept");
    }
    assert_eq!(get(&service, "/").await.json(), json!({ "status": "alive" }));
    // What browsers send, and a person who asks for the page.
    for accept in [
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "application/json, Text/HTML",
    ] {
        let response = ask(accept).await;
        assert_eq!(response.header("content-type"), "text/html; charset=utf-8", "{accept}");
        assert_eq!(response.header("vary"), "accept");
    }
}
