//! A layer says which methods have the same map there, and they have.

use super::*;

const METHODS: &str = "gradcam,hirescam,xgradcam";

/// Models with a global average pooling, and one without.
fn models_with_and_without() -> ModelRegistry {
    let folder = tempfile::tempdir().unwrap().keep();
    for (id, file) in [("tinylite", "tinylite"), ("tinyvgg", "tinyvgg-torchscript")] {
        model(&folder, id, &onnx(file), "", "");
    }
    start(&folder, "tinylite")
}

/// The largest difference of the three methods' maps.
async fn difference(service: &Router, query: &str) -> f64 {
    let path = format!("/v1/compare?output=json&methods={METHODS}&{query}");
    let response = post_image(service, &path, chelsea()).await.json();
    let values = |method: &str| -> Vec<f64> {
        let rows = response["maps"][method]["heatmap"]["data"].as_array().unwrap();
        rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect()
    };
    let first = values("gradcam");
    let of = |method: &str| {
        let pairs = first.iter().zip(values(method)).map(|(a, b)| (a - b).abs());
        pairs.fold(0.0, f64::max)
    };
    of("hirescam").max(of("xgradcam"))
}

#[tokio::test]
async fn methods_that_are_declared_to_agree_agree_and_others_need_not() {
    let (service, _) = service_with(models_with_and_without(), Server::default());
    let mut declared = Vec::new();
    for id in ["tinylite", "tinyvgg"] {
        let described = get(&service, &format!("/v1/models/{id}")).await.json();
        let mut largest_elsewhere = 0.0_f64;
        for layer in described["layers"].as_array().unwrap() {
            let name = layer["alias"].as_str().unwrap().as_bytes();
            let name: String = form_urlencoded::byte_serialize(name).collect();
            let groups = &layer["same_maps"];
            for how in
                ["target=2", "target=5&convention=pytorch-grad-cam", "target=3&score=probability"]
            {
                let found = difference(&service, &format!("model={id}&layer={name}&{how}")).await;
                if groups == &serde_json::json!([]) {
                    largest_elsewhere = largest_elsewhere.max(found);
                } else {
                    assert_eq!(
                        groups,
                        &serde_json::json!([METHODS.split(',').collect::<Vec<_>>()])
                    );
                    assert!(found < 1e-5, "{id} {name} {how}: {found}");
                }
            }
            if groups != &serde_json::json!([]) {
                declared.push(format!("{id} {name}"));
            }
        }
        assert!(largest_elsewhere > 0.1, "{id}: {largest_elsewhere}");
    }
    assert_eq!(declared, ["tinylite head.2"]);
}
