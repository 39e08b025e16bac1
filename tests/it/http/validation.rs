//! Invalid requests are refused before any pass through the model.

use super::*;

/// The passes that a service has run, all kinds together.
async fn passes(service: &Router) -> u64 {
    let metrics = get(service, "/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let counts = text.lines().filter(|line| line.starts_with("camlens_passes_total"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The cache is asked before every pass of an image, so a pass that an error hides from the other
/// metrics shows here.
async fn lookups(service: &Router) -> u64 {
    let metrics = get(service, "/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let counts = text.lines().filter(|line| line.starts_with("camlens_cache_total"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn invalid_requests_are_refused_without_a_pass() {
    let folder = tempfile::tempdir().unwrap();
    let labels: String = (0..10).map(|class| format!("thing {class}\n")).collect();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", &labels);
    let settings = Settings { cache_bytes: 1 << 20, ..settings() };
    let models = ModelRegistry::start(folder.path(), None, &settings).unwrap();
    models.wait();
    let (service, _) = service_with(models, Server::default());
    for (path, status, option) in [
        ("/v1/explain?method=scorecam&convention=pytorch-grad-cam&budget=9", 422, ""),
        ("/v1/explain?method=scorecam&convention=pytorch-grad-cam&tolerance=0.1", 422, ""),
        // More passes than the layer has channels: nothing would be estimated.
        ("/v1/explain?method=scorecam&convention=pytorch-grad-cam&budget=500", 422, ""),
        ("/v1/compare?convention=pytorch-grad-cam&budget=9", 422, ""),
        // Faults in names come first: what the method cannot do is said of a request that is clear.
        (
            "/v1/explain?method=scorecam&convention=pytorch-grad-cam&budget=9&model=none",
            404,
            "model",
        ),
        (
            "/v1/explain?method=scorecam&convention=pytorch-grad-cam&budget=9&layer=none",
            422,
            "layer",
        ),
        ("/v1/explain?target=5&contrast=5&signed=true&method=groupcam", 400, "signed"),
        ("/v1/explain?target=5&contrast=5", 422, "contrast"),
        ("/v1/explain?target=thing%205&contrast=5", 422, "contrast"),
        ("/v1/explain?target=1,5&contrast=thing%205", 422, "contrast"),
        ("/v1/compare?target=5&contrast=5", 422, "contrast"),
        ("/v1/explain?contrast=99", 422, "contrast"),
        ("/v1/explain?target=99", 422, "target"),
        ("/v1/explain?layer=none", 422, "layer"),
        ("/v1/explain?method=eigencam&contrast=1", 422, "contrast"),
        ("/v1/explain?method=scorecam&negate=true", 422, "negate"),
        ("/v1/explain?method=gradcam++&signed=true", 400, "signed"),
        ("/v1/compare?methods=gradcam,eigencam&signed=true", 400, "signed"),
        ("/v1/compare?target=1,2", 400, "target"),
        ("/v1/explain?target=1,2&output=gray", 400, "output"),
    ] {
        let refused = post_image(&service, path, chelsea()).await;
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(refused.json()["option"].as_str().unwrap_or_default(), option, "{path}");
    }
    assert_eq!((passes(&service).await, lookups(&service).await), (0, 0));

    // Without a target, only the forward pass tells which class is contrasted with itself.
    let predicted = post_image(&service, "/v1/predict?top_k=1", chelsea()).await.json();
    let class = &predicted["predictions"][0]["index"];
    let path = format!("/v1/explain?contrast={class}");
    let refused = post_image(&service, &path, chelsea()).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["option"]), (422, &"contrast".into()));
    assert_eq!(passes(&service).await, 1);
}
