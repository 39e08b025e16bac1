//! The page's sample pictures, offered only for the models that know such pictures.

use camlens::config::Server;

use super::*;

#[tokio::test]
async fn samples_are_listed_where_their_model_is_there_and_are_pictures() {
    let folder = tempfile::tempdir().unwrap().keep();
    model(&folder, "efficientnet-lite0", &onnx("tinyvgg-torchscript"), "", "");
    let (service, _) = service_with(start(&folder, "efficientnet-lite0"), Server::default());
    let samples = get(&service, "/samples").await.json();
    let samples = samples.as_array().unwrap();
    assert_eq!(samples.len(), 5, "the sixth is for vgg16-mri");
    for sample in samples {
        let path = format!("/samples/{}", sample["file"].as_str().unwrap());
        let picture = get(&service, &path).await;
        assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/jpeg"));
        let predicted = post_image(&service, "/v1/predict", picture.body.to_vec()).await;
        assert_eq!(predicted.status, 200, "{path}");
        assert!(!sample["credit"].as_str().unwrap().is_empty());
        assert!(!sample["license"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_their_models_there_are_no_samples() {
    let service = service();
    assert_eq!(get(&service, "/samples").await.json(), serde_json::json!([]));
    assert_eq!(get(&service, "/samples/none.jpg").await.status, 404);
    assert_eq!(get(&service, "/samples/%FF").await.status, 404);
}
