//! Options mean the same wherever they are given, and none is ignored.

use base64::Engine;
use serde_json::json;

use super::*;

const PATH: &str = "/v1/explain?output=json";

fn facts(answered: &Answered) -> Value {
    assert_eq!(answered.status, 200, "{:?}", answered.body);
    let body = answered.json();
    json!([
        body["method"],
        body["layer"],
        body["target"]["index"],
        body["predictions"].as_array().unwrap().len()
    ])
}

#[tokio::test]
async fn query_form_and_json_options_are_equivalent() {
    let service = service();
    let image = chelsea();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&image);
    let options =
        [("method", "gradcampp"), ("layer", "features.22"), ("target", "thing 3"), ("top_k", "2")];
    let expected = json!(["gradcam++", "features.22", 3, 2]);

    let query =
        "/v1/explain?output=json&method=gradcampp&layer=features.22&target=thing%203&top_k=2";
    assert_eq!(facts(&post_image(&service, query, image.clone()).await), expected);
    assert_eq!(facts(&post_form(&service, PATH, &options, Some(&image)).await), expected);
    for image in [
        base64.clone(),
        format!("data:image/png;base64,{base64}"),
        base64.trim_end_matches('=').to_owned(),
    ] {
        let body = json!({
            "image": image, "output": "json", "method": "Grad-CAM++", "layer": "features.22",
            "target": 3, "top_k": 2, "score": null, "emphasize": false, "weight": 0.5,
        });
        let answered =
            send(&service, post("/v1/explain", "application/json", body.to_string())).await;
        assert_eq!(facts(&answered), expected);
    }
}

#[tokio::test]
async fn a_plus_sign_in_a_query_need_not_be_escaped() {
    let service = service();
    for name in ["gradcam++", "gradcam%2B%2B", "Grad-CAM++", "gradcampp"] {
        let answered = post_image(&service, &format!("{PATH}&method={name}"), chelsea()).await;
        assert_eq!(answered.json()["method"], "gradcam++", "{name}");
    }
    let path = "/v1/compare?output=json&methods=gradcam++,gradcam";
    let maps = post_image(&service, path, chelsea()).await.json()["maps"].clone();
    assert_eq!(maps.as_object().unwrap().keys().collect::<Vec<_>>(), ["gradcam", "gradcam++"]);
}

#[tokio::test]
async fn two_values_for_one_option_are_refused_wherever_they_are_given() {
    let service = service();
    let image = chelsea();
    let twice =
        post_image(&service, "/v1/explain?method=gradcam&method=scorecam", image.clone()).await;
    insta::assert_snapshot!(twice.problem(), @r"
    400
    detail: option 'method' is given twice, with different values; give one
    instance: /v1/explain
    option: method
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let across = post_form(&service, "/v1/explain?top_k=1", &[("top_k", "2")], Some(&image)).await;
    insta::assert_snapshot!(across.problem(), @r"
    400
    detail: option 'top_k' is given twice, with different values; give one
    instance: /v1/explain
    option: top_k
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let json = "{\"image\": \"\", \"target\": 1, \"target\": 2}";
    let members = send(&service, post("/v1/explain", "application/json", json)).await;
    insta::assert_snapshot!(members.problem(), @r"
    400
    detail: option 'target' is given twice, with different values; give one
    instance: /v1/explain
    option: target
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let same = post_form(&service, "/v1/explain?top_k=2", &[("top_k", "2")], Some(&image)).await;
    assert_eq!(same.status, 200);
    still_answers(&service).await;
}

#[tokio::test]
async fn an_unknown_option_or_value_is_refused_wherever_it_is_given() {
    let service = service();
    let image = chelsea();
    let query = post_image(&service, "/v1/explain?colour=jet", image.clone()).await;
    insta::assert_snapshot!(query.problem(), @"
    400
    detail: there is no option 'colour' here; options are model, method, layer, target, contrast, negate, signed, score, convention, max_channels, budget, tolerance, seed, samples, noise, normalize, output, format, dpi, columns, size, colormap, blend, weight, emphasize, top_k
    instance: /v1/explain
    option: colour
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let field = post_form(&service, "/v1/explain", &[("colormap", "rainbow")], Some(&image)).await;
    insta::assert_snapshot!(field.problem(), @r"
    400
    detail: option 'colormap' can't be 'rainbow'; it takes jet, turbo, viridis, inferno, magma, plasma, cividis, gray, coolwarm, rdbu
    instance: /v1/explain
    option: colormap
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let other = post_image(&service, "/v1/predict?layer=features.22", image).await;
    insta::assert_snapshot!(other.problem(), @r"
    400
    detail: there is no option 'layer' here; options are model, top_k
    instance: /v1/predict
    option: layer
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    still_answers(&service).await;
}

#[tokio::test]
async fn a_map_too_large_for_json_is_refused_before_any_pass() {
    let service = service();
    let wide = image::RgbImage::new(2001, 1000);
    let picture = camlens::picture::encode::png(&wide, &Default::default()).unwrap();
    let path = "/v1/explain?output=json&size=image";
    let refused = post_image(&service, path, picture.clone()).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["option"], "size");
    assert!(refused.json()["detail"].as_str().unwrap().contains("output=npy"));
    let whole = post_image(&service, "/v1/explain?output=npy&size=image", picture).await;
    assert_eq!(whole.status, 200);
}

/// Colours stand for values from 0 to 1, so a map of other values would show something else.
#[tokio::test]
async fn a_picture_of_values_without_bounds_is_refused() {
    let service = service();
    let refused = post_image(&service, "/v1/explain?normalize=none", chelsea()).await;
    assert_eq!(
        (refused.status, &refused.json()["option"]),
        (StatusCode::BAD_REQUEST, &json!("normalize"))
    );
    let values = post_image(&service, "/v1/explain?normalize=none&output=json", chelsea()).await;
    assert_eq!(values.status, StatusCode::OK);
}
