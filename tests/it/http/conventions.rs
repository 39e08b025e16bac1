//! Conventions over HTTP, at the sizes that a client can ask for. The trained VGG16's arrays were
//! made by `tools golden.vgg16_mri_torch`: the library's own call, which ends at the input's size.

use axum::Router;
use axum::http::StatusCode;
use camlens::config::Server;
use ndarray::Array2;
use ndarray_npy::ReadNpyExt;

use super::{post_image, service_with, start};
use crate::support::{Golden, difference, repository};

/// The image as a PNG.
fn png(image: &image::RgbImage) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

async fn map(service: &Router, query: &str, image: &[u8]) -> Array2<f32> {
    let path = format!("/v1/explain?output=npy&convention=pytorch-grad-cam&{query}");
    let answered = post_image(service, &path, image.to_vec()).await;
    assert_eq!(answered.status, StatusCode::OK, "{query}: {:?}", answered.body);
    Array2::read_npy(answered.body.as_ref()).unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn the_library_s_own_map_is_the_one_at_the_input_s_size() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("vgg16-mri");
    std::os::unix::fs::symlink(repository("models/vgg16-mri"), link).unwrap();
    let service = service_with(start(folder.path(), "vgg16-mri"), Server::default()).0;
    for picture in ["chelsea", "phantom"] {
        let mut golden = Golden::open(&format!("vgg16-mri/torch_{picture}.npz"));
        // The picture has the input's size, so it reaches the model unchanged.
        let image = png(&golden.image("input_u8"));
        for (method, key) in [("gradcam", "gradcam"), ("gradcam%2B%2B", "gradcam++")] {
            for (size, of) in [("layer", "layer"), ("input", "image"), ("image", "image")] {
                let found = map(&service, &format!("method={method}&size={size}"), &image).await;
                let off = difference(&found, &golden.get(&format!("pgc|{key}|{of}")));
                assert!(off <= 1e-4, "{picture}, {key} at {size} differs by {off}");
            }
        }
    }
}

/// At the size of a larger image the map is resized once, from the layer, and spans 0 to 1.
#[tokio::test]
async fn a_map_at_the_image_s_size_spans_0_to_1() {
    let service = super::service();
    let image = super::chelsea();
    let found = map(&service, "method=gradcam&size=image", &image).await;
    let (least, largest) =
        found.iter().fold((1.0_f32, 0.0_f32), |(least, most), v| (least.min(*v), most.max(*v)));
    assert_eq!(found.dim(), (300, 451));
    assert_eq!(least, 0.0);
    assert!((largest - 1.0).abs() < 1e-6, "{largest}");

    let layer = map(&service, "method=gradcam&size=layer", &image).await;
    let resized = camlens::picture::resize::upsample(layer.view(), 300, 451);
    let (low, high) =
        resized.iter().fold((1.0_f32, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
    let expected = resized.mapv(|value| (value - low) / (high - low + 1e-7));
    let off = difference(&found, &expected);
    assert!(off <= 1e-6, "{off}");
}
