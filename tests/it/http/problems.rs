//! The contract's error table, row by row; and the service keeps working after each.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use camlens::config::Server;
use image::{ExtendedColorType, ImageEncoder};
use onnx_gradient::proto::NodeProto;
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
async fn unknown_paths_and_methods() {
    let service = service();
    insta::assert_snapshot!(get(&service, "/v3/explain").await.problem(), @r"
    404
    detail: there is nothing at /v3/explain; /docs lists the paths
    instance: /v3/explain
    title: There is nothing at this path
    type: /docs#problem-not-found
    ");
    insta::assert_snapshot!(get(&service, "/v1/explain").await.problem(), @r"
    405 allow: POST
    detail: /v1/explain does not support GET; the header 'allow' lists what it does
    instance: /v1/explain
    title: The path does not take this method
    type: /docs#problem-method-not-allowed
    ");
    let request = Request::builder().method(Method::DELETE).uri("/v1/models/tiny");
    let answered = send(&service, request.body(Body::empty()).unwrap()).await;
    insta::assert_snapshot!(answered.problem(), @r"
    405 allow: GET,HEAD
    detail: /v1/models/tiny does not support DELETE; the header 'allow' lists what it does
    instance: /v1/models/tiny
    title: The path does not take this method
    type: /docs#problem-method-not-allowed
    ");
    insta::assert_snapshot!(get(&service, "/assets/../secret").await.problem(), @r"
    404
    detail: there is nothing at /assets/../secret; /docs lists the paths
    instance: /assets/../secret
    title: There is nothing at this path
    type: /docs#problem-not-found
    ");
}

#[tokio::test]
async fn malformed_bodies() {
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"iVBOR").await, @r"
    400
    detail: the JSON could not be read: EOF while parsing a string at line 1 column 16
    instance: /v1/explain
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "[1]").await, @r"
    400
    detail: the JSON could not be read: invalid type: sequence, expected an object with a member 'image' at line 1 column 0
    instance: /v1/explain
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"not base64!\"}").await, @r"
    400
    detail: 'image' is not base64: Invalid symbol 33, offset 9.
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"data:image/png,abc\"}").await, @r"
    400
    detail: the data: address in 'image' has no ';base64,'
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": 7}").await, @r"
    400
    detail: 'image' must be a string: the file in base64
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"\", \"image\": \"\"}").await, @r"
    400
    detail: the JSON has two images; send one
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("application/json", "{\"image\": \"\", \"score\": [\"a\"]}").await, @r"
    400
    detail: option 'score' must be a string, a number or a boolean
    instance: /v1/explain
    option: score
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    insta::assert_snapshot!(refused_body("multipart/form-data", "x").await, @r"
    400
    detail: Content-Type: multipart/form-data has no boundary; HTTP clients write it if the header is left to them
    instance: /v1/explain
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused_body("multipart/form-data; boundary=b", "--b\r\nthis is no form").await, @r"
    400
    detail: the form could not be read: its last line '--b--' is missing, so it was cut off or not ended
    instance: /v1/explain
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
}

#[tokio::test]
async fn bodies_without_an_image() {
    let service = service();
    insta::assert_snapshot!(refused_body("application/json", "{}").await, @r"
    400
    detail: there is no image: send it as the field 'image', or as the body itself
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(post_form(&service, "/v1/explain", &[("method", "gradcam")], None).await.problem(), @r"
    400
    detail: there is no image: send it as the field 'image', or as the body itself
    instance: /v1/explain
    option: image
    title: The request could not be read
    type: /docs#problem-malformed-request
    ");
    insta::assert_snapshot!(refused("/v1/explain", Vec::new()).await, @r"
    415
    detail: The image is empty (0 bytes). PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.
    instance: /v1/explain
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
    insta::assert_snapshot!(post_form(&service, "/v1/explain", &[], Some(b"")).await.problem(), @r"
    415
    detail: The image is empty (0 bytes). PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.
    instance: /v1/explain
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
}

#[tokio::test]
async fn unsupported_content_types() {
    insta::assert_snapshot!(refused_body("application/x-www-form-urlencoded", "image=x").await, @r"
    415
    detail: Content-Type 'application/x-www-form-urlencoded' is not accepted; send multipart/form-data, application/json, image/* or application/octet-stream
    instance: /v1/explain
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
    let request = Request::post("/v1/explain").body(Body::from("x")).unwrap();
    insta::assert_snapshot!(send(&service(), request).await.problem(), @r"
    415
    detail: the request has no Content-Type; send multipart/form-data, application/json, image/* or application/octet-stream
    instance: /v1/explain
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
}

#[tokio::test]
async fn files_that_are_not_images() {
    insta::assert_snapshot!(refused("/v1/predict", b"%PDF-1.7 and so on".to_vec()).await, @r"
    415
    detail: This is a PDF. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.
    instance: /v1/predict
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
    let service = service();
    let answered = post_form(&service, "/v1/explain", &[], Some(b"<svg xmlns='x'/>")).await;
    insta::assert_snapshot!(answered.problem(), @r"
    415
    detail: This is HTML, SVG or XML. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.
    instance: /v1/explain
    title: The image type is not accepted
    type: /docs#problem-unsupported-image
    ");
}

#[tokio::test]
async fn truncated_images() {
    let whole = chelsea();
    let mut jpeg = Vec::new();
    let picture = image::load_from_memory(&whole).unwrap().into_rgb8();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
    insta::assert_snapshot!(refused("/v1/explain", jpeg[..jpeg.len() / 2].to_vec()).await, @r"
    422
    detail: The JPEG could not be decoded: it is truncated.
    instance: /v1/explain
    title: The image could not be decoded
    type: /docs#problem-corrupt-image
    ");
    insta::assert_snapshot!(refused("/v1/explain", whole[..whole.len() - 20_000].to_vec()).await, @r"
    422
    detail: The PNG could not be decoded: it is truncated or damaged.
    instance: /v1/explain
    title: The image could not be decoded
    type: /docs#problem-corrupt-image
    ");
}

/// A PNG of a hundred bytes that declares 3.6 gigapixels.
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
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 }
        })
    })
}

#[tokio::test]
async fn an_image_that_declares_too_many_pixels_is_not_decoded() {
    let file = claiming(60_000, 60_000);
    assert!(file.len() <= 100);
    insta::assert_snapshot!(refused("/v1/explain", file).await, @r"
    413
    detail: The image has 60000 × 60000 = 3600000000 pixels; the limit is 50000000 pixels.
    instance: /v1/explain
    title: The image has too many pixels
    type: /docs#problem-image-too-large
    ");
}

#[tokio::test]
async fn bodies_over_the_limit_in_every_encoding() {
    let (service, _) = service_with(models(), Server { body_bytes: 200_000, ..Server::default() });
    let large = vec![0; 200_001];
    insta::assert_snapshot!(post_image(&service, "/v1/explain", large.clone()).await.problem(), @r"
    413
    detail: the body is over the limit of 200000 bytes
    instance: /v1/explain
    title: The request body is too large
    type: /docs#problem-body-too-large
    ");
    assert_eq!(post_form(&service, "/v1/explain", &[], Some(&large)).await.status, 413);
    let text =
        json!({ "image": base64::engine::general_purpose::STANDARD.encode(&large) }).to_string();
    assert_eq!(send(&service, post("/v1/explain", "application/json", text)).await.status, 413);
    // A chunked body does not declare its length.
    let chunks =
        futures_util::stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 10_000])));
    let body = Body::from_stream(chunks);
    assert_eq!(send(&service, post("/v1/explain", "image/png", body)).await.status, 413);
    let small = vec![0; 200_000];
    assert_eq!(post_image(&service, "/v1/explain", small).await.status, 415);
}

#[tokio::test]
async fn unknown_models_classes_and_layers() {
    insta::assert_snapshot!(refused("/v1/explain?model=vgg61", chelsea()).await, @r"
    404
    detail: there is no model 'vgg61'; there are: broken, cropped, nan, tiny
    instance: /v1/explain
    option: model
    title: There is no such model
    type: /docs#problem-unknown-model
    ");
    insta::assert_snapshot!(refused("/v1/explain?model=broken", chelsea()).await, @r"
    424
    detail: model 'broken' could not be loaded: broken/model.onnx: not an ONNX model
    instance: /v1/explain
    title: The model could not be loaded
    type: /docs#problem-model-failed
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=10", chelsea()).await, @r"
    422
    detail: there is no class 10; the model has classes 0 to 9
    instance: /v1/explain
    option: target
    title: The model has no such class
    type: /docs#problem-unknown-class
    ");
    insta::assert_snapshot!(refused("/v1/explain?target=thing", chelsea()).await, @r"
    422
    detail: there is no class with the label 'thing'; similar labels: 'thing 0', 'thing 1', 'thing 2'
    instance: /v1/explain
    option: target
    title: The model has no such class
    type: /docs#problem-unknown-class
    ");
    insta::assert_snapshot!(refused("/v1/explain?layer=features.99", chelsea()).await, @r"
    422
    detail: model 'tiny' has no layer 'features.99'; its last ones are avgpool, features.30, features.29; GET /v1/models/tiny lists all
    instance: /v1/explain
    option: layer
    title: The model has no such layer
    type: /docs#problem-unknown-layer
    ");
    insta::assert_snapshot!(refused("/v1/explain?model=nan", chelsea()).await, @r"
    422
    detail: model 'nan' gives NaN or infinity for this image, so there is nothing to explain
    instance: /v1/explain
    title: The model's scores are not finite
    type: /docs#problem-not-a-number
    ");
}

/// The model with the squares of its scores' sigmoids as output: probabilities that no score of one
/// operator stands behind.
fn squared_sigmoids(name: &str) -> Vec<u8> {
    let file = OnnxFile::open(&repository(&format!("tests/golden/dialects/{name}.onnx"))).unwrap();
    let mut model = file.model;
    let graph = model.graph.as_mut().unwrap();
    let scores = graph.output[0].name.replace("squares".into()).unwrap();
    let mut add = |kind: &str, inputs: &[&str], output: &str| {
        graph.node.push(NodeProto {
            op_type: Some(kind.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        });
    };
    add("Sigmoid", &[&scores], "sigmoids");
    add("Mul", &["sigmoids", "sigmoids"], "squares");
    model.encode_to_vec()
}

#[tokio::test]
async fn requests_that_a_model_does_not_support() {
    let folder = tempfile::tempdir().unwrap();
    let hides = "[output]\nkind = \"probabilities\"\n";
    model(folder.path(), "hides", &squared_sigmoids("tinyvgg-torchscript"), hides, "");
    let (service, _) = service_with(start(folder.path(), "hides"), Server::default());
    insta::assert_snapshot!(post_image(&service, "/v1/explain?method=gradcam&score=logit", chelsea()).await.problem(), @r"
    422
    detail: model 'hides' outputs probabilities and does not expose their logits; score=probability works
    instance: /v1/explain
    option: score
    title: The model does not allow this explanation
    type: /docs#problem-impossible
    ");
    for instead in ["method=gradcam", "method=gradcam&score=probability", "method=scorecam"] {
        let answered = post_image(&service, &format!("/v1/explain?{instead}"), chelsea()).await;
        assert_eq!(answered.status, 200, "{instead}");
        // Only a convention's logit is replaced without being asked.
        let is_replaced = answered.header("camlens-warnings").contains("probability-explained");
        assert_eq!(is_replaced, instead == "method=gradcam", "{instead}");
    }
}

/// A JPEG of 16 × 8 pixels in CMYK, by Pillow: `Image.new("CMYK", (16, 8), (0, 200, 200, 0))`.
const CMYK_JPEG: &str = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwANCQoLCggNCwoLDg4NDxMgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBXQUZMTlJT\
    UjI+WmFaUGBKUVJP/8AAFAgACAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAGB//EABQQAQAAAAAAAAAAAAAA\
    AAAAAAD/2gAOBEMATQBZAEsAAD8A05JJJpwA/9k=";

#[tokio::test]
async fn unusual_images_are_accepted() {
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
    let cmyk = base64::engine::general_purpose::STANDARD.decode(CMYK_JPEG).unwrap();
    for file in [deep, dot, cmyk] {
        let answered = post_image(&service, "/v1/explain", file).await;
        assert_eq!(answered.status, 200, "{:?}", answered.body);
    }
}
