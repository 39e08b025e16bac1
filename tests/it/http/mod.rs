//! The service from outside: requests in, responses out, mostly in process and without a socket.

mod compare;
mod contract;
mod contract_for_clients;
mod conventions;
mod cors;
mod figures;
mod forms;
mod guide;
mod labels;
mod layers;
mod options;
mod overload;
mod page;
mod problems;
mod protocols;
mod refusals;
mod refused_heads;
mod reload;
mod responses;
mod same_maps;
mod samples;
mod service;
mod signed;
mod sockets;
mod stream;
mod targets;
mod validation;
mod warnings;
mod wrong_names;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use camlens::config::Server;
use camlens::engine::{ModelRegistry, Settings};
use camlens::http::AppState;
use camlens::model::onnx_file::OnnxFile;
use http_body_util::BodyExt;
use onnx_gradient::proto::{DimensionValue, TypeValue};
use prost::Message;
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{repository, settings};

/// The models that most tests here use, loaded once:
/// - `tiny` (the default): a VGG16 of few channels with labels,
/// - `cropped`: the same, but it sees only the middle of an image,
/// - `nan`: the same, but its preprocessing overflows,
/// - `broken`: no ONNX file at all.
pub(crate) fn models() -> ModelRegistry {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        let labels: String = (0..10).map(|class| format!("thing {class}\n")).collect();
        let vgg = onnx("tinyvgg-torchscript");
        model(&folder, "tiny", &vgg, "", &labels);
        model(&folder, "cropped", &vgg, "[input]\nfit = \"crop\"\n", "");
        model(&folder, "nan", &vgg, "[input]\nscale = 1e38\n", "");
        model(&folder, "broken", b"this is no model", "", "");
        start(&folder, "tiny")
    };
    MODELS.get_or_init(load).clone()
}

/// One model, `slow`, whose Score-CAM takes many seconds.
pub(crate) fn slow_models() -> ModelRegistry {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        model(&folder, "slow", &enlarged("tinylite", 1024), "", "");
        start(&folder, "slow")
    };
    MODELS.get_or_init(load).clone()
}

fn start(folder: &Path, default: &str) -> ModelRegistry {
    let settings = Settings { batch: 1, ..settings() };
    let models = ModelRegistry::start(folder, Some(default), &settings).unwrap();
    models.wait();
    models
}

fn onnx(name: &str) -> Vec<u8> {
    std::fs::read(repository(&format!("tests/golden/dialects/{name}.onnx"))).unwrap()
}

fn model(models: &Path, id: &str, onnx: &[u8], manifest: &str, labels: &str) {
    let folder = models.join(id);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.onnx"), onnx).unwrap();
    std::fs::write(folder.join("model.toml"), format!("file = \"model.onnx\"\n{manifest}"))
        .unwrap();
    if !labels.is_empty() {
        std::fs::write(folder.join("labels.txt"), labels).unwrap();
    }
}

/// A model without fully connected layers, for larger images: the same, only slower.
pub(crate) fn enlarged(name: &str, side_px: i64) -> Vec<u8> {
    let file = OnnxFile::open(&repository(&format!("tests/golden/dialects/{name}.onnx"))).unwrap();
    let mut model = file.model;
    let input = &mut model.graph.as_mut().unwrap().input[0];
    let Some(TypeValue::Tensor(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    else {
        panic!("an input that is no tensor")
    };
    for dimension in &mut tensor.shape.as_mut().unwrap().dim[2..] {
        dimension.value = Some(DimensionValue::Size(side_px));
    }
    model.encode_to_vec()
}

/// A service with these models and limits.
pub(crate) fn service_with(models: ModelRegistry, server: Server) -> (Router, Arc<AppState>) {
    let state = AppState::new(models, server);
    (camlens::http::router(Arc::clone(&state)), state)
}

/// A service with the usual limits.
pub(crate) fn service() -> Router {
    service_with(models(), Server::default()).0
}

pub(crate) fn chelsea() -> Vec<u8> {
    std::fs::read(image_path("chelsea")).unwrap()
}

pub(crate) fn image_path(name: &str) -> PathBuf {
    repository(&format!("tests/golden/images/{name}.png"))
}

/// A response that has arrived.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answered {
    pub(crate) async fn from(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and body, with the request's id left out, for a snapshot.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let mut problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem.as_object_mut().unwrap().remove("request_id");
        problem.as_object_mut().unwrap().remove("status");
        let mut text = self.status.as_u16().to_string();
        for name in ["allow", "retry-after"] {
            if self.headers.contains_key(name) {
                write!(text, " {name}: {}", self.header(name)).unwrap();
            }
        }
        for (name, value) in problem.as_object().unwrap() {
            write!(text, "\n{name}: {}", value.as_str().unwrap()).unwrap();
        }
        text
    }
}

pub(crate) async fn send(service: &Router, request: Request<Body>) -> Answered {
    Answered::from(service.clone().oneshot(request).await.unwrap()).await
}

pub(crate) async fn get(service: &Router, path: &str) -> Answered {
    send(service, Request::get(path).body(Body::empty()).unwrap()).await
}

pub(crate) fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

/// The image as the body itself.
pub(crate) async fn post_image(service: &Router, path: &str, image: Vec<u8>) -> Answered {
    send(service, post(path, "application/octet-stream", image)).await
}

pub(crate) const BOUNDARY: &str = "a-line-between";

/// A form of the fields and the image.
pub(crate) fn form(fields: &[(&str, &str)], image: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .as_bytes(),
        );
    }
    if let Some(image) = image {
        let head = "Content-Disposition: form-data; name=\"image\"; filename=\"x.png\"\r\nContent-Type: image/png";
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(image);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub(crate) async fn post_form(
    service: &Router,
    path: &str,
    fields: &[(&str, &str)],
    image: Option<&[u8]>,
) -> Answered {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    send(service, post(path, &content_type, form(fields, image))).await
}

/// After a refusal the service works as before.
pub(crate) async fn still_answers(service: &Router) {
    let answered = post_image(service, "/v1/predict", chelsea()).await;
    assert_eq!(answered.status, StatusCode::OK, "{:?}", answered.body);
}
