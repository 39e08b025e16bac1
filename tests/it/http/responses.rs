//! `POST /v1/explain` and `/v1/predict`: the response in each form.

use camlens::picture::colormap::Colormap;
use image::{DynamicImage, GenericImageView};
use ndarray::Array2;
use ndarray_npy::ReadNpyExt;

use super::*;

fn picture(answered: &Answered) -> DynamicImage {
    assert_eq!((answered.status.as_u16(), answered.header("content-type")), (200, "image/png"));
    image::load_from_memory(&answered.body).unwrap()
}

fn map(answered: &Answered) -> Vec<Vec<f64>> {
    serde_json::from_value(answered.json()["heatmap"]["data"].clone()).unwrap()
}

#[tokio::test]
async fn json_has_the_members_of_the_contract() {
    let answered =
        post_image(&service(), "/v1/explain?output=json&layer=features.29&top_k=1", chelsea())
            .await;
    let mut body = answered.json();
    let timing = body.as_object_mut().unwrap().remove("timing_ms").unwrap();
    assert_eq!(
        timing.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["decode", "explain", "forward", "render"]
    );
    assert!(timing.as_object().unwrap().values().all(|ms| ms.as_f64().unwrap() >= 0.0));
    let data = map(&answered);
    assert_eq!(body["heatmap"]["shape"], serde_json::json!([data.len(), data[0].len()]));
    let peak = data.iter().flatten().copied().fold(0.0, f64::max);
    assert!((peak - 1.0).abs() < 1e-6, "{peak}");
    body["heatmap"]["data"] = "…".into();
    for place in ["target", "predictions"] {
        let prediction = if place == "target" { &mut body[place] } else { &mut body[place][0] };
        let probability = prediction["probability"].take().as_f64().unwrap();
        assert!((0.0..=1.0).contains(&probability) && prediction["logit"].take().is_f64());
    }
    body["heatmap"]["max"].take().as_f64().unwrap();
    insta::assert_snapshot!(body.to_string(), @r#"{"convention":"paper","heatmap":{"data":"…","empty":false,"max":null,"shape":[4,4]},"image":{"height":300,"seen":[0.0,0.0,451.0,300.0],"width":451},"layer":"features.29","method":"gradcam++","model":"tiny","passes":{"forward":1,"masked":0,"skipped":0,"tail":0},"predictions":[{"index":8,"label":"thing 8","logit":null,"probability":null}],"target":{"index":8,"label":"thing 8","logit":null,"probability":null},"warnings":[]}"#);
}

#[tokio::test]
async fn a_picture_carries_its_facts_in_headers() {
    let service = service();
    let answered =
        post_image(&service, "/v1/explain?layer=features.29&target=thing%204", chelsea()).await;
    assert_eq!(picture(&answered).dimensions(), (451, 300));
    let names = ["camlens-model", "camlens-method", "camlens-layer", "camlens-target"];
    insta::assert_snapshot!(names.map(|name| answered.header(name)).join(" "), @"tiny gradcam++ features.29 4");
    let probability: f32 = answered.header("camlens-probability").parse().unwrap();
    assert!((0.0..=1.0).contains(&probability));
    assert!(["true", "false"].contains(&answered.header("camlens-empty")));
    let timing = answered.header("server-timing");
    assert!(timing.starts_with("decode;dur=") && timing.contains(", render;dur="), "{timing}");
}

#[tokio::test]
async fn each_output_has_its_form() {
    let service = service();
    let ask = async |output: &str, more: &str| {
        post_image(&service, &format!("/v1/explain?output={output}{more}"), chelsea()).await
    };
    assert_eq!(picture(&ask("heatmap", "").await).dimensions(), (451, 300));
    assert_eq!(picture(&ask("heatmap", "&size=input").await).dimensions(), (64, 64));
    assert_eq!(picture(&ask("overlay", "&size=input").await).dimensions(), (64, 64));
    assert_eq!(picture(&ask("gray", "").await).color(), image::ColorType::L8);

    let npy = ask("npy", "").await;
    assert_eq!(npy.header("content-type"), "application/x-npy");
    let array = Array2::<f32>::read_npy(&npy.body[..]).unwrap();
    let rows = map(&ask("json", "").await);
    assert_eq!(array.dim(), (rows.len(), rows[0].len()));
    assert!(array.iter().zip(rows.iter().flatten()).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
    let large = Array2::<f32>::read_npy(&ask("npy", "&size=image").await.body[..]).unwrap();
    assert_eq!(large.dim(), (300, 451));
}

#[tokio::test]
async fn accept_decides_the_form_if_no_option_does() {
    let service = service();
    let ask = async |accept: &str, path: &str| {
        let mut request = post(path, "image/png", chelsea());
        request.headers_mut().insert("accept", accept.parse().unwrap());
        send(&service, request).await.header("content-type").to_owned()
    };
    assert_eq!(ask("*/*", "/v1/explain").await, "image/png");
    assert_eq!(ask("application/json", "/v1/explain").await, "application/json");
    assert_eq!(ask("application/x-npy", "/v1/explain").await, "application/x-npy");
    assert_eq!(ask("application/json", "/v1/explain?output=gray").await, "image/png");
}

#[tokio::test]
async fn a_weight_of_zero_gives_the_image_and_colours_come_from_the_colormap() {
    let service = service();
    let original = image::load_from_memory(&chelsea()).unwrap().into_rgb8();
    for blend in ["add", "mix"] {
        let path = format!("/v1/explain?blend={blend}&weight=0");
        assert_eq!(picture(&post_image(&service, &path, chelsea()).await).into_rgb8(), original);
    }
    let path = "/v1/explain?output=heatmap&colormap=viridis&size=layer";
    let colours = picture(&post_image(&service, path, chelsea()).await).into_rgb8();
    assert!(colours.pixels().all(|pixel| Colormap::Viridis.table().contains(&pixel.0)));
}

#[tokio::test]
async fn a_model_that_crops_marks_only_the_visible_part() {
    let service = service();
    let path = "/v1/explain?model=cropped&output=json&size=image";
    let data = map(&post_image(&service, path, chelsea()).await);
    // 451 × 300: 75 columns on either side were never seen.
    assert!(data.iter().all(|row| row[..75].iter().chain(&row[376..]).all(|&value| value == 0.0)));
    let overlay = post_image(&service, "/v1/explain?model=cropped", chelsea()).await;
    let (overlay, original) =
        (picture(&overlay).into_rgb8(), image::load_from_memory(&chelsea()).unwrap().into_rgb8());
    // The two columns next to the visible part are its frame.
    assert!((0..300).all(|y| (0..73).all(|x| overlay.get_pixel(x, y) == original.get_pixel(x, y))));
    assert!((0..300).all(|y| overlay.get_pixel(73, y).0.iter().all(|&value| value > 216)));
    assert!(
        (0..300).any(|y| (75..376).any(|x| overlay.get_pixel(x, y) != original.get_pixel(x, y)))
    );
}

#[tokio::test]
async fn predictions_are_most_probable_first() {
    let service = service();
    let body = post_image(&service, "/v1/predict?top_k=100", chelsea()).await.json();
    let predictions = body["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 10);
    let of = |index: usize| predictions[index]["probability"].as_f64().unwrap();
    assert!((1..10).all(|index| of(index - 1) >= of(index)));
    assert_eq!(
        body["image"],
        serde_json::json!({ "width": 451, "height": 300, "seen": [0.0, 0.0, 451.0, 300.0] })
    );
    let cropped = post_image(&service, "/v1/predict?model=cropped", chelsea()).await.json();
    assert_eq!(cropped["image"]["seen"], serde_json::json!([75.166_664, 0.0, 300.666_66, 300.0]));
    let none = post_image(&service, "/v1/predict?top_k=0", chelsea()).await.json();
    assert_eq!(none["predictions"], serde_json::json!([]));
}
