//! The rows of the contract's error table, each with its words; and the service goes on after each.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use camlens::config::Server;
use image::{ExtendedColorType, ImageEncoder};
use serde_json::json;

use super::*;

async fn refused(path: &str, image: Vec<u8>) -> String {
    let service = service();
    let problem = post_image(&service, path, image).await.problem();
    still_answers(&service).await;
    problem
}

async fn refused_body(content_type: &str, body: &'static str) -> String {
    let service = service();
    let problem = send(&service, post("/v1/explain", content_type, body)).await.problem();
    still_answers(&service).await;
    problem
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let service = service();
    insta::assert_snapshot!(get(&service, "/v2/explain").await.problem(), @"");
    insta::assert_snapshot!(get(&service, "/v1/explain").await.problem(), @"");
    let request = Request::builder().method(Method::DELETE).uri("/v1/models/tiny");
    let answered = send(&service, request.body(Body::empty()).unwrap()).await;
    insta::assert_snapshot!(answered.problem(), @"");
    insta::assert_snapshot!(get(&service, "/assets/../secret").await.problem(), @"");
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"iVBOR").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "[1]").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"not base64!\"}").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"data:image/png,abc\"}").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": 7}").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"\", \"image\": \"\"}").await, @"");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"\", \"layer\": [\"a\"]}").await, @"");
    insta::assert_snapshot!(refused_body("multipart/form-data", "x").await, @"");
    insta::assert_snapshot!(refused_body("multipart/form-data; boundary=b", "--b\r\nthis is no form").await, @"");
}

#[tokio::test]
async fn bodies_without_an_image() {
    let service = service();
    insta::assert_snapshot!(refused_body("application/json", "{}").await, @"");
    insta::assert_snapshot!(post_form(&service, "/v1/explain", &[("method", "gradcam")], None).await.problem(), @"");
    insta::assert_snapshot!(refused("/v1/explain", Vec::new()).await, @"");
    insta::assert_snapshot!(post_form(&service, "/v1/explain", &[], Some(b"")).await.problem(), @"");
}

#[tokio::test]
async fn bodies_of_another_kind() {
    insta::assert_snapshot!(refused_body("application/x-www-form-urlencoded", "image=x").await, @"");
    let request = Request::post("/v1/explain").body(Body::from("x")).unwrap();
    insta::assert_snapshot!(send(&service(), request).await.problem(), @"");
}

#[tokio::test]
async fn what_is_no_image_whatever_it_is_called() {
    insta::assert_snapshot!(refused("/v1/predict", b"%PDF-1.7 and so on".to_vec()).await, @"");
    let service = service();
    let answered = post_form(&service, "/v1/explain", &[], Some(b"<svg xmlns='x'/>")).await;
    insta::assert_snapshot!(answered.problem(), @"");
}

#[tokio::test]
async fn images_that_break_off() {
    let whole = chelsea();
    let mut jpeg = Vec::new();
    let picture = image::load_from_memory(&whole).unwrap().into_rgb8();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
    insta::assert_snapshot!(refused("/v1/explain", jpeg[..jpeg.len() / 2].to_vec()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain", whole[..whole.len() - 20_000].to_vec()).await, @"");
}

/// A PNG of hundred bytes that claims 3.6 gigapixels.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        file.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let from = file.len();
        file.extend_from_slice(name);
        file.extend_from_slice(data);
        let sum = crc32(&file[from..]);
        file.extend_from_slice(&sum.to_be_bytes());
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[8, 2, 0, 0, 0]].concat();
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]);
    chunk(b"IEND", &[]);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, &byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 },
        )
    })
}

#[tokio::test]
async fn an_image_that_claims_too_many_pixels_is_not_decoded() {
    let file = claiming(60_000, 60_000);
    assert!(file.len() <= 100);
    insta::assert_snapshot!(refused("/v1/explain", file).await, @"");
}

#[tokio::test]
async fn bodies_over_the_limit_however_they_come() {
    let (service, _) = service_with(models(), Server { body_bytes: 200_000, ..Server::default() });
    let large = vec![0; 200_001];
    insta::assert_snapshot!(post_image(&service, "/v1/explain", large.clone()).await.problem(), @"");
    assert_eq!(post_form(&service, "/v1/explain", &[], Some(&large)).await.status, 413);
    let text = json!({ "image": base64::engine::general_purpose::STANDARD.encode(&large) }).to_string();
    assert_eq!(send(&service, post("/v1/explain", "application/json", text)).await.status, 413);
    // In chunks there is no length to refuse it by.
    let chunks = futures_util::stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 10_000])));
    let body = Body::from_stream(chunks);
    assert_eq!(send(&service, post("/v1/explain", "image/png", body)).await.status, 413);
    let small = vec![0; 200_000];
    assert_eq!(post_image(&service, "/v1/explain", small).await.status, 415);
}

#[tokio::test]
async fn what_the_model_does_not_have() {
    insta::assert_snapshot!(refused("/v1/explain?model=vgg61", chelsea()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain?model=broken", chelsea()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain?target=10", chelsea()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain?target=thing", chelsea()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain?layer=features.99", chelsea()).await, @"");
    insta::assert_snapshot!(refused("/v1/explain?model=nan", chelsea()).await, @"");
}

#[tokio::test]
async fn unusual_images_are_no_errors() {
    let service = service();
    let mut deep = Vec::new();
    let samples: Vec<u8> = (0..40_u16 * 30).flat_map(|value| (value * 50).to_ne_bytes()).collect();
    image::codecs::png::PngEncoder::new(&mut deep)
        .write_image(&samples, 40, 30, ExtendedColorType::L16)
        .unwrap();
    let mut dot = Vec::new();
    image::codecs::png::PngEncoder::new(&mut dot)
        .write_image(&[9, 9, 9, 0], 1, 1, ExtendedColorType::Rgba8)
        .unwrap();
    for file in [deep, dot] {
        let answered = post_image(&service, "/v1/explain", file).await;
        assert_eq!(answered.status, 200, "{:?}", answered.body);
    }
}
