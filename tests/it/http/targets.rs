//! `target=a,b`: the maps of several classes from shared passes.

use image::GenericImageView;
use ndarray::Array3;
use ndarray_npy::ReadNpyExt;
use serde_json::json;

use super::*;

async fn ask(service: &Router, options: &str) -> Value {
    let answered =
        post_image(service, &format!("/v1/explain?output=json&{options}"), chelsea()).await;
    assert_eq!(answered.status, 200, "{options}: {:?}", answered.body);
    answered.json()
}

#[tokio::test]
async fn several_classes_have_the_same_maps_as_each_alone() {
    let service = service();
    for options in [
        "method=gradcam",
        "method=gradcam&score=probability&layer=features.15",
        "method=gradcam%2B%2B&convention=pytorch-grad-cam",
        "method=gradcam&contrast=1",
        "method=xgradcam&negate=true",
        "method=layercam&layer=features.22",
        "method=eigengradcam",
        "method=eigencam",
        "method=scorecam&convention=pytorch-grad-cam",
        "method=scorecam&contrast=1&size=image",
        "method=scorecam&budget=8&layer=features.20",
        "method=ablationcam",
        "method=reciprocam",
        "method=smoothgradcampp&samples=3&contrast=1",
        "method=groupcam",
    ] {
        let several = ask(&service, &format!("{options}&target=7,thing%202,0")).await;
        let maps = several["maps"].as_array().unwrap();
        assert_eq!(maps.len(), 3, "{options}");
        assert!(several.get("heatmap").is_none() && several.get("target").is_none());
        for (map, class) in maps.iter().zip([7, 2, 0]) {
            let alone = ask(&service, &format!("{options}&target={class}")).await;
            assert_eq!(map["target"], alone["target"], "{options}");
            assert_eq!(map["heatmap"], alone["heatmap"], "{options}, class {class}");
            // Three classes cost the passes of one, unless each has its own masks.
            if options.contains("groupcam") {
                assert!(alone["passes"]["masked"].as_u64() < several["passes"]["masked"].as_u64());
                continue;
            }
            for same in [
                "model",
                "method",
                "convention",
                "layer",
                "contrast",
                "negate",
                "predictions",
                "passes",
            ] {
                assert_eq!(several[same], alone[same], "{options}, {same}");
            }
        }
        assert_eq!(several["passes"]["forward"], 1);
        let has = |names: &[&str]| names.iter().any(|name| options.contains(name));
        let ran = |passes: &str| several["passes"][passes].as_u64().unwrap() > 0;
        assert_eq!(ran("masked"), has(&["scorecam", "smoothgradcampp", "groupcam"]), "{options}");
        assert_eq!(ran("tail"), has(&["ablationcam", "reciprocam"]), "{options}");
    }
}

#[tokio::test]
async fn a_json_list_means_the_same_as_commas() {
    let service = service();
    let of = async |target: Value| {
        let image = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, chelsea());
        let body = json!({ "image": image, "output": "json", "target": target });
        let mut answer =
            send(&service, post("/v1/explain", "application/json", body.to_string())).await.json();
        answer.as_object_mut().unwrap().remove("timing_ms");
        answer
    };
    assert_eq!(of(json!([4, "thing 9"])).await, of(json!("4,9")).await);
    assert_eq!(of(json!([4])).await, of(json!(4)).await);
    assert!(of(json!(4)).await.get("heatmap").is_some());
}

#[tokio::test]
async fn an_array_has_one_more_axis_and_a_figure_one_panel_per_class() {
    let service = service();
    let post = async |options: &str| {
        post_image(&service, &format!("/v1/explain?target=7,2,0,5&{options}"), chelsea()).await
    };
    let npy = post("output=npy&size=input").await;
    let maps = Array3::<f32>::read_npy(&npy.body[..]).unwrap();
    assert_eq!(maps.dim(), (4, 64, 64));
    for (map, class) in maps.outer_iter().zip([7, 2, 0, 5]) {
        let alone = ask(&service, &format!("target={class}&size=input")).await;
        let data: Vec<Vec<f32>> = serde_json::from_value(alone["heatmap"]["data"].clone()).unwrap();
        assert!(map.iter().zip(data.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    let figure = image::load_from_memory(&post("").await.body).unwrap();
    // The image and four classes in one row; in two columns they take three.
    let wrapped = image::load_from_memory(&post("columns=2").await.body).unwrap();
    assert!(figure.width() > 2 * figure.height() && wrapped.height() > wrapped.width());
    let heatmaps =
        image::load_from_memory(&post("output=heatmap&colormap=gray").await.body).unwrap();
    assert_eq!(heatmaps.dimensions(), figure.dimensions());
    assert_ne!(heatmaps, figure);
}

#[tokio::test]
async fn headers_list_one_value_per_class() {
    let service = service();
    let answered = post_image(&service, "/v1/explain?target=7,2&method=gradcam", chelsea()).await;
    assert_eq!(answered.header("camlens-target"), "7,2");
    assert_eq!(answered.header("camlens-method"), "gradcam");
    let maps = ask(&service, "target=7,2&method=gradcam").await["maps"].clone();
    let of = |member: &str| {
        maps.as_array()
            .unwrap()
            .iter()
            .map(|map| map.pointer(member).unwrap().to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(answered.header("camlens-empty"), of("/heatmap/empty"));
    let probabilities =
        answered.header("camlens-probability").split(',').map(|text| text.parse::<f64>().unwrap());
    let expected = [0, 1].map(|index| maps[index]["target"]["probability"].as_f64().unwrap());
    assert!(probabilities.zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[tokio::test]
async fn invalid_lists_of_classes_are_refused() {
    let service = service();
    let refused = async |path: &str| post_image(&service, path, chelsea()).await.problem();
    insta::assert_snapshot!(refused("/v1/explain?target=3,thing%203").await, @r"
    400
    detail: option 'target' names class 3 twice
    instance: /v1/explain
    option: target
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=0,1,2,3,4,5,6,7,8,9,10").await, @r"
    400
    detail: option 'target' takes 10 classes at most
    instance: /v1/explain
    option: target
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=3,").await, @r"
    400
    detail: option 'target' has an empty entry between its commas
    instance: /v1/explain
    option: target
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=3,thing").await, @r"
    422
    detail: there is no class with the label 'thing'; similar labels: 'thing 0', 'thing 1', 'thing 2'
    instance: /v1/explain
    option: target
    title: The model has no such class
    type: /docs#problem-unknown-class
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=3,5&contrast=5").await, @r"
    422
    detail: class 5 can't be contrasted with itself; name another class
    instance: /v1/explain
    option: contrast
    title: The model does not allow this explanation
    type: /docs#problem-impossible
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=3,5&output=gray").await, @r"
    400
    detail: a gray picture holds one map, and 'target' names 2 classes; json and npy hold them all
    instance: /v1/explain
    option: output
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/compare?target=3,5").await, @r"
    400
    detail: a comparison explains one class, and 'target' names 2; explain accepts several
    instance: /v1/compare
    option: target
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    still_answers(&service).await;
}

#[tokio::test]
async fn maps_that_are_too_large_together_are_refused_before_any_pass() {
    let server = Server { max_pixels: 300_000, ..Server::default() };
    let (service, _) = service_with(models(), server);
    let one = post_image(&service, "/v1/explain?target=1&output=npy&size=image", chelsea()).await;
    assert_eq!(one.status, 200);
    let path = "/v1/explain?target=1,2,3&output=npy&size=image";
    insta::assert_snapshot!(post_image(&service, path, chelsea()).await.problem(), @r"
    400
    detail: size=image would be 405900 values here, more than the 300000 of the largest image; request fewer classes or size=input
    instance: /v1/explain
    option: size
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
}
