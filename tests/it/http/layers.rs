//! `layer=a,b`: the mean of several layers' maps.

use serde_json::json;

use super::*;

async fn ask(service: &Router, options: &str) -> Value {
    let answered =
        post_image(service, &format!("/v1/explain?output=json&{options}"), chelsea()).await;
    assert_eq!(answered.status, 200, "{options}: {:?}", answered.body);
    answered.json()
}

fn numbers(heatmap: &Value) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(heatmap["data"].clone()).unwrap();
    rows.concat()
}

#[tokio::test]
async fn the_map_is_the_mean_of_the_layers_maps() {
    let service = service();
    for (options, forward) in [
        ("method=gradcam&target=2", 1),
        ("method=gradcam++&target=2&convention=article", 1),
        ("method=hirescam&target=2&signed=true", 1),
        ("method=scorecam&target=2", 1),
        ("method=eigencam", 1),
        // Each layer's tail follows a pass of its own.
        ("method=ablationcam&target=2", 2),
    ] {
        let several = ask(&service, &format!("{options}&layer=features.15,features.29")).await;
        assert_eq!(several["layer"], "features.15,features.29");
        assert_eq!(several["heatmap"]["shape"], json!([64, 64]));
        let mut mean = vec![0.0; 64 * 64];
        let mut masked = 0;
        for layer in ["features.15", "features.29"] {
            let one = ask(&service, &format!("{options}&layer={layer}&size=input")).await;
            mean.iter_mut()
                .zip(numbers(&one["heatmap"]))
                .for_each(|(mean, value)| *mean += value / 2.0);
            masked += one["passes"]["masked"].as_u64().unwrap();
        }
        let largest = mean.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        assert!((several["heatmap"]["max"].as_f64().unwrap() - largest).abs() < 1e-5, "{options}");
        for (found, mean) in numbers(&several["heatmap"]).iter().zip(&mean) {
            assert!(
                (found - mean / largest).abs() < 1e-5,
                "{options}: {found}, {}",
                mean / largest
            );
        }
        assert_eq!(
            (&several["passes"]["forward"], &several["passes"]["masked"]),
            (&json!(forward), &json!(masked))
        );
        // Without the last step it is the mean itself.
        let raw =
            ask(&service, &format!("{options}&layer=features.15,features.29&normalize=none")).await;
        assert!(
            numbers(&raw["heatmap"])
                .iter()
                .zip(&mean)
                .all(|(found, mean)| (found - mean).abs() < 1e-5)
        );
    }
}

#[tokio::test]
async fn several_layers_combine_with_classes_methods_lists_and_pictures() {
    let service = service();
    let layers = "layer=features.22,features.29";
    let classes = ask(&service, &format!("{layers}&target=2,5&method=gradcam")).await;
    for (index, class) in [2, 5].into_iter().enumerate() {
        let alone = ask(&service, &format!("{layers}&target={class}&method=gradcam")).await;
        assert_eq!(classes["maps"][index]["heatmap"], alone["heatmap"]);
    }
    let compare = format!("/v1/compare?{layers}&target=5&methods=layercam,gradcam&output=json");
    let compared = post_image(&service, &compare, chelsea()).await.json();
    assert_eq!(compared["maps"]["gradcam"]["heatmap"], classes["maps"][1]["heatmap"]);

    let image = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, chelsea());
    let body = json!({
        "image": image, "output": "json", "layer": ["features.22", "features.29"], "target": 5, "method": "gradcam",
    });
    let listed =
        send(&service, post("/v1/explain", "application/json", body.to_string())).await.json();
    assert_eq!(listed["heatmap"], classes["maps"][1]["heatmap"]);

    let picture = post_image(&service, &format!("/v1/explain?{layers}"), chelsea()).await;
    assert_eq!(picture.header("content-type"), "image/png");
    assert_eq!(picture.header("camlens-layer"), "features.22,features.29");
}

#[tokio::test]
async fn layers_that_cannot_be_fused_are_refused() {
    let service = service();
    let refused = async |path: &str| post_image(&service, path, chelsea()).await.problem();
    insta::assert_snapshot!(refused("/v1/explain?layer=features.29,/features/features.29/Relu").await, @r"
    400
    detail: option 'layer' names layer 'features.29' twice
    instance: /v1/explain
    option: layer
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused("/v1/explain?layer=features.29,conv9").await, @r"
    422
    detail: model 'tiny' has no layer 'conv9'; its last ones are avgpool, features.30, features.29; GET /v1/models/tiny lists all
    instance: /v1/explain
    option: layer
    title: The model has no such layer
    type: /docs#problem-unknown-layer
    ");
    insta::assert_snapshot!(refused("/v1/explain?layer=features.29,").await, @r"
    400
    detail: option 'layer' has an empty entry between its commas
    instance: /v1/explain
    option: layer
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    let many = "1,3,4,6,8,9,11,13,15,16,18".split(',').map(|place| format!("features.{place}"));
    let many = many.collect::<Vec<_>>().join(",");
    insta::assert_snapshot!(refused(&format!("/v1/explain?layer={many}")).await, @r"
    400
    detail: option 'layer' takes 10 layers at most
    instance: /v1/explain
    option: layer
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    still_answers(&service).await;
}
