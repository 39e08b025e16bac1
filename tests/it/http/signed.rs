//! `signed=true`: evidence for the class above 0, evidence against it below.

use camlens::picture::colormap::Colormap;
use image::{GenericImageView, RgbImage};

use super::*;

const PATH: &str = "/v1/explain?layer=features.22&target=2";

async fn map(service: &Router, options: &str) -> (Value, Vec<f64>) {
    let answered = post_image(service, &format!("{PATH}&output=json&{options}"), chelsea()).await;
    assert_eq!(answered.status, 200, "{options}: {:?}", answered.body);
    let heatmap = answered.json()["heatmap"].clone();
    let rows: Vec<Vec<f64>> = serde_json::from_value(heatmap["data"].clone()).unwrap();
    (heatmap, rows.concat())
}

async fn picture(service: &Router, options: &str) -> RgbImage {
    let answered = post_image(service, &format!("{PATH}&{options}"), chelsea()).await;
    assert_eq!((answered.status.as_u16(), answered.header("camlens-signed")), (200, "true"));
    image::load_from_memory(&answered.body).unwrap().into_rgb8()
}

#[tokio::test]
async fn positive_values_are_the_usual_map_and_negative_ones_the_negated_one() {
    let service = service();
    for method in ["gradcam", "hirescam", "xgradcam", "ablationcam", "scorecam&contrast=5"] {
        let (heatmap, signed) = map(&service, &format!("method={method}&signed=true")).await;
        assert_eq!((&heatmap["signed"], &heatmap["empty"]), (&true.into(), &false.into()));
        let largest = signed.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        assert!((largest - 1.0).abs() < 1e-6, "{method}: {largest}");
        let scale = heatmap["max"].as_f64().unwrap();
        for (sign, negate) in [(1.0, ""), (-1.0, "&negate=true")] {
            // Score-CAM of a probability has no negative; of a difference it has.
            let (plain, one_side) =
                map(&service, &format!("method={method}&normalize=none{negate}")).await;
            assert!(plain.get("signed").is_none());
            for (signed, one_side) in signed.iter().zip(&one_side) {
                let expected = (sign * signed * scale).max(0.0);
                assert!(
                    (one_side - expected).abs() <= 1e-5 * scale,
                    "{method}: {one_side} {expected}"
                );
            }
        }
    }
    // A signed map with nothing but evidence against the class is not empty.
    let (heatmap, _) = map(&service, "method=gradcam&signed=true&negate=true").await;
    assert_eq!(heatmap["empty"], false);
}

#[tokio::test]
async fn pictures_show_zero_as_the_colormap_s_middle() {
    let service = service();
    let (_, values) = map(&service, "method=hirescam&signed=true").await;
    let coloured = picture(&service, "method=hirescam&signed=true&output=heatmap&size=layer").await;
    let expected = |value: f64| Colormap::Coolwarm.table()[(128.0 + 127.0 * value as f32) as usize];
    assert!(coloured.pixels().zip(&values).all(|(pixel, &value)| pixel.0 == expected(value)));
    assert!(values.iter().any(|&value| value < -0.1) && values.iter().any(|&value| value > 0.1));
    let named =
        picture(&service, "method=hirescam&signed=1&output=heatmap&size=layer&colormap=rdbu").await;
    assert!(named.pixels().all(|pixel| Colormap::RdBu.table().contains(&pixel.0)));

    let grey = picture(&service, "method=hirescam&signed=true&output=gray&size=layer").await;
    assert!(grey.pixels().zip(&values).all(|(pixel, &value)| (pixel.0[0] > 128) <= (value > 0.0)));

    // Outside the visible part and its frame the overlay is the image and the grey is the middle one.
    let original = image::load_from_memory(&chelsea()).unwrap().into_rgb8();
    let cropped = "model=cropped&method=hirescam&signed=true";
    let overlay = picture(&service, cropped).await;
    assert!((0..300).all(|y| (0..73).all(|x| overlay.get_pixel(x, y) == original.get_pixel(x, y))));
    assert_ne!(overlay, original);
    let grey = picture(&service, &format!("{cropped}&output=gray")).await;
    assert_eq!(grey.get_pixel(3, 3).0, [128; 3]);
}

#[tokio::test]
async fn figures_can_be_signed_too() {
    let service = service();
    let compared =
        post_image(&service, "/v1/compare?methods=gradcam,hirescam&signed=true", chelsea()).await;
    assert_eq!(compared.header("camlens-signed"), "true");
    // Three panels of two inches, and the colour bar.
    assert!(image::load_from_memory(&compared.body).unwrap().dimensions().0 > 3 * 300);
    let json = "/v1/compare?methods=gradcam,hirescam&signed=true&output=json";
    let maps = post_image(&service, json, chelsea()).await.json()["maps"].clone();
    assert!(maps.as_object().unwrap().values().all(|map| map["heatmap"]["signed"] == true));
    let classes = "/v1/explain?target=2,5&signed=true&method=xgradcam";
    assert_eq!(post_image(&service, classes, chelsea()).await.status, 200);
}

#[tokio::test]
async fn methods_without_a_sign_are_refused() {
    let service = service();
    let refused = async |path: &str| post_image(&service, path, chelsea()).await.problem();
    insta::assert_snapshot!(refused("/v1/explain?signed=true").await, @r"
    400
    detail: Grad-CAM++ does not separate evidence for the class from evidence against it; option 'signed' is for gradcam, scorecam, hirescam, xgradcam, ablationcam
    instance: /v1/explain
    option: signed
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?signed=true&method=scorecam").await, @r"
    400
    detail: Score-CAM weights passes by probabilities, which are never negative; score=logit or contrast gives them a sign
    instance: /v1/explain
    option: signed
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?signed=true&method=scorecam&convention=pytorch-grad-cam&contrast=1").await, @r"
    400
    detail: Score-CAM by pytorch-grad-cam weights passes by a softmax, which is never negative; convention=paper works with score=logit or contrast
    instance: /v1/explain
    option: signed
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?signed=true&method=gradcam&normalize=minmax").await, @r"
    400
    detail: option 'normalize' can't be 'minmax' for a signed map, whose zero must stay zero; it takes max or none
    instance: /v1/explain
    option: normalize
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    for method in [
        "gradcampp",
        "layercam",
        "gradcam-elementwise",
        "eigencam",
        "eigengradcam",
        "random",
        "reciprocam",
    ] {
        let answered =
            post_image(&service, &format!("/v1/explain?signed=true&method={method}"), chelsea())
                .await;
        assert_eq!(
            (answered.status.as_u16(), &answered.json()["option"]),
            (400, &"signed".into()),
            "{method}"
        );
    }
    let compared = post_image(&service, "/v1/compare?signed=true", chelsea()).await;
    assert_eq!((compared.status.as_u16(), &compared.json()["option"]), (400, &"signed".into()));
    still_answers(&service).await;
}
