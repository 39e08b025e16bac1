//! `POST /v1/compare`: the figure, or every map.

use super::*;

#[tokio::test]
async fn the_figure_has_one_column_per_method_and_one_for_the_image() {
    let service = service();
    let answered = post_image(&service, "/v1/compare", chelsea()).await;
    assert_eq!(answered.header("content-type"), "image/png");
    assert_eq!(answered.header("camlens-model"), "tiny");
    assert_eq!(answered.header("camlens-method"), "gradcam,gradcam++,scorecam");
    assert_eq!(answered.header("camlens-empty"), "false,false,false");
    let width = async |methods: &str| {
        let path = format!("/v1/compare?dpi=72&methods={methods}");
        let body = post_image(&service, &path, chelsea()).await.body;
        image::load_from_memory(&body).unwrap().width()
    };
    // A column is two inches, and 10 points from the next.
    let three = width("gradcam,gradcampp,scorecam").await;
    assert_eq!(three - width("gradcam,scorecam").await, 144 + 10);
}

#[tokio::test]
async fn json_has_the_same_maps_as_explain() {
    let service = service();
    let body = serde_json::json!({
        "image": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, chelsea()),
        "methods": ["scorecam", "Grad-CAM++"], "layer": "features.29", "target": 2, "output": "json",
    });
    let compared =
        send(&service, post("/v1/compare", "application/json", body.to_string())).await.json();
    for method in ["scorecam", "gradcam++"] {
        let path = format!("/v1/explain?output=json&layer=features.29&target=2&method={method}");
        let alone = post_image(&service, &path, chelsea()).await.json();
        assert_eq!(compared["maps"][method]["heatmap"], alone["heatmap"], "{method}");
        assert_eq!(compared["maps"][method]["passes"], alone["passes"], "{method}");
    }
    assert_eq!(compared["maps"].as_object().unwrap().len(), 2);
    assert_eq!(compared["target"]["label"], "thing 2");
}
