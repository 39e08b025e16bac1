//! A wrong name of a field, a member or an option is a 400 that says which one is right.

use serde_json::json;

use super::*;

async fn refusal(request: Request<Body>) -> String {
    let (service, _) = service_with(models(), server());
    let answered = send(&service, request).await;
    assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{:?}", answered.body);
    let body = answered.json();
    let message = ["detail", "error", "message"].iter().find_map(|name| body[*name].as_str());
    let option = body["option"].as_str().map(|option| format!("{option}: ")).unwrap_or_default();
    // The list of all options is long, and tested elsewhere.
    let message = message.unwrap();
    let end = message.find("options are").unwrap_or(message.len());
    format!("{option}{}", &message[..end])
}

/// Vertex AI's paths are set from outside.
fn server() -> Server {
    let mut server = Server::default();
    server.vertex.predict_route = Some("/vertex".into());
    server
}

async fn in_form(path: &str, name: &str) -> String {
    let head = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"cat.png\"");
    let body = super::forms::parts(&[(&head, &chelsea())]);
    let content_type = format!("multipart/form-data; boundary={}", BOUNDARY);
    refusal(post(path, &content_type, body)).await
}

async fn in_json(path: &str, body: Value) -> String {
    refusal(post(path, "application/json", body.to_string())).await
}

#[tokio::test]
async fn of_a_form_s_field() {
    for path in ["/v1/explain", "/v1/compare", "/v1/predict"] {
        for name in ["file", "img"] {
            let expected = format!(
                "{name}: there is no option '{name}' here; the image is the field 'image', and "
            );
            assert_eq!(in_form(path, name).await, expected, "{path}");
        }
    }
    insta::assert_snapshot!(in_form("/v1/explain", "Image").await, @"Image: there is no option 'Image' here (did you mean 'image'?); the image is the field 'image', and ");
    insta::assert_snapshot!(in_form("/v1/explain", "images").await, @"images: there is no option 'images' here (did you mean 'image'?); the image is the field 'image', and ");
    // The bytes of a file are no text, which would be another complaint.
    for path in ["/predictions/tiny", "/explanations/tiny", "/invocations"] {
        assert_eq!(
            in_form(path, "file").await,
            "there is no option 'file' here; the image is the field 'data', and ",
            "{path}"
        );
    }
}

#[tokio::test]
async fn of_a_member_of_json() {
    let image = "aGk=";
    let v1 = "/v1/explain";
    insta::assert_snapshot!(in_json(v1, json!({ "img": image })).await, @"img: there is no option 'img' here; the image is the member 'image', and ");
    insta::assert_snapshot!(in_json(v1, json!({ "image": image, "metod": "gradcam" })).await, @"metod: there is no option 'metod' here (did you mean 'method'?); the image is the member 'image', and ");
    insta::assert_snapshot!(in_json("/invocations", json!({ "img": image })).await, @"there is no option 'img' here; the image is the member 'image', and ");
    let kserve = "/v1/models/tiny:explain";
    let says = |text: String, words: &str| assert!(text.contains(words), "{text}");
    let wrong = in_json(kserve, json!({ "instance": [image] })).await;
    says(wrong, "unknown field `instance`, expected `instances` or `parameters`");
    let wrong = in_json(kserve, json!({ "instances": [{ "img": image }] })).await;
    says(
        wrong,
        "an instance has no member 'img'; an instance is an image file in base64, {\"b64\"",
    );
    let options = json!({ "instances": [image], "parameters": { "metod": "gradcam" } });
    insta::assert_snapshot!(in_json(kserve, options.clone()).await, @"there is no option 'metod' here (did you mean 'method'?); ");
    insta::assert_snapshot!(in_json("/vertex", options).await, @"there is no option 'metod' here (did you mean 'method'?); ");
    let infer = "/v2/models/tiny/infer";
    let input = json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [image] });
    let misspelt = json!({ "inputs": [input], "parameter": { "method": "gradcam" } });
    let misspelt = in_json(infer, misspelt).await;
    says(misspelt, "there is no member 'parameter' here (did you mean 'parameters'?)");
    let options = json!({ "inputs": [input], "parameters": { "metod": "gradcam" } });
    insta::assert_snapshot!(in_json(infer, options).await, @"there is no option 'metod' here (did you mean 'method'?); ");
    let other = json!({ "inputs": [{ "name": "img", "shape": [1], "datatype": "BYTES", "data": [image] }] });
    insta::assert_snapshot!(in_json(infer, other).await, @"there is no input 'img' of BYTES; there are 'image' (BYTES) and 'input' (FP32)");
}

#[tokio::test]
async fn of_an_option_in_the_query_or_in_a_header() {
    let image = |path: &str| post(path, "image/png", chelsea());
    for path in ["/v1/explain?metod=x", "/v1/explain?Method=x", "/v1/explain?methods=x"] {
        let name = path.split(['?', '=']).nth(1).unwrap();
        assert_eq!(
            refusal(image(path)).await,
            format!("{name}: there is no option '{name}' here (did you mean 'method'?); ")
        );
    }
    insta::assert_snapshot!(refusal(image("/v1/explain?colour=jet")).await, @"colour: there is no option 'colour' here; ");
    for path in ["/explanations/tiny?metod=x", "/v1/models/tiny:explain?metod=x", "/vertex?metod=x"]
    {
        let expected = "there is no option 'metod' here (did you mean 'method'?); ";
        assert_eq!(refusal(image(path)).await, expected, "{path}");
    }
    let mut request = image("/invocations");
    let name = "x-amzn-sagemaker-custom-attributes";
    request.headers_mut().insert(name, "metod=gradcam".parse().unwrap());
    insta::assert_snapshot!(refusal(request).await, @"there is no option 'metod' here (did you mean 'method'?); ");
}

/// As some generated clients send a file whose type they took for JSON.
#[tokio::test]
async fn of_an_empty_body_that_is_called_json() {
    insta::assert_snapshot!(refusal(post("/v1/explain", "application/json", "")).await, @"image: the JSON is empty; send an object with a member 'image', or a form or an image with the Content-Type of that");
}
