//! Files of labels that do not fit their model, and what a class may be called.

use std::path::Path;
use std::process::{Command, Output};

use axum::Router;
use axum::http::StatusCode;
use camlens::config::Server;
use serde_json::Value;

use super::{Answered, chelsea, get, image_path, model, onnx, post_image, service_with, start};
use crate::support::repository;

/// A service with one model of ten classes, `it`, and this file of labels.
fn labelled(labels: &[u8]) -> (Router, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx("tinyvgg-torchscript"), "", "");
    std::fs::write(folder.path().join("it/labels.txt"), labels).unwrap();
    (service_with(start(folder.path(), "it"), Server::default()).0, folder)
}

async fn explained(service: &Router, query: &str) -> Answered {
    let path = format!("/v1/explain?method=gradcam&output=json&{query}");
    post_image(service, &path, chelsea()).await
}

/// The class that a request for this target explains.
async fn class(service: &Router, target: &str) -> Value {
    let answered = explained(service, &format!("target={target}")).await;
    assert_eq!(answered.status, StatusCode::OK, "{target}: {:?}", answered.body);
    answered.json()["target"]["index"].clone()
}

/// Why a request for this target is refused, always with 422.
async fn refusal(service: &Router, query: &str) -> String {
    let answered = explained(service, query).await;
    assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{:?}", answered.body);
    let problem = answered.json();
    assert_eq!(problem["type"], "/docs#problem-unknown-class");
    format!("{}: {}", problem["option"].as_str().unwrap(), problem["detail"].as_str().unwrap())
}

fn lines(count: usize) -> Vec<u8> {
    (0..count).map(|line| format!("thing {line}\n")).collect::<String>().into_bytes()
}

fn camlens(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_camlens"))
        .env_clear()
        .current_dir(folder)
        .env("CAMLENS_RUNTIME", repository("runtime/libonnxruntime.so"))
        .env("CAMLENS_MODELS", folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_label_behind_the_last_class_is_refused_everywhere() {
    let (service, folder) = labelled(&lines(13));
    for query in ["target=thing%2011", "contrast=thing%2011", "target=0,thing%2011"] {
        let refused = refusal(&service, query).await;
        assert!(
            refused.ends_with(
                "the label 'thing 11' is on line 12 of the labels and names no class; the model \
                 has classes 0 to 9"
            ),
            "{refused}"
        );
    }
    assert_eq!(
        refusal(&service, "target=11").await,
        "target: there is no class 11; the model has classes 0 to 9"
    );
    let compared = post_image(&service, "/v1/compare?target=thing%2012&max_channels=2", chelsea());
    assert_eq!(compared.await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(class(&service, "thing%209").await, 9);

    let described = get(&service, "/v1/models/it").await.json();
    assert_eq!(described["labels"].as_array().unwrap().len(), 10);
    assert_eq!(described["warnings"][0]["code"], "labels-do-not-fit");
    let detail = described["warnings"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("13 lines of labels name the model's 10 classes"), "{detail}");

    let image = image_path("chelsea");
    let image = image.to_str().unwrap();
    let out = camlens(
        folder.path(),
        &["explain", image, "--model", "it", "--target", "thing 11", "-o", "map.json"],
    );
    assert_eq!(out.status.code(), Some(1));
    let error = String::from_utf8(out.stderr).unwrap();
    assert!(error.contains("on line 12 of the labels and names no class"), "{error}");
    let inspected = camlens(folder.path(), &["inspect", "it"]);
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert!(text.contains("warning  13 lines of labels name the model's 10 classes"), "{text}");
}

#[tokio::test]
async fn fewer_labels_than_classes_leave_the_last_ones_unnamed() {
    let (service, _folder) = labelled(&lines(7));
    assert_eq!(class(&service, "9").await, 9);
    assert_eq!(class(&service, "thing%206").await, 6);
    let answered = post_image(&service, "/v1/predict?top_k=10", chelsea()).await.json();
    for prediction in answered["predictions"].as_array().unwrap() {
        let is_named = prediction["index"].as_u64().unwrap() < 7;
        assert_eq!(prediction["label"].is_string(), is_named, "{prediction}");
    }
    let described = get(&service, "/v1/models/it").await.json();
    let detail = described["warnings"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("7 lines of labels name the model's 10 classes"), "{detail}");
}

#[tokio::test]
async fn labels_that_fit_give_no_warning() {
    let (service, _folder) = labelled(&lines(10));
    assert_eq!(get(&service, "/v1/models/it").await.json()["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn a_byte_order_mark_and_any_line_end_leave_the_labels_alone() {
    let text = "\u{feff}Größe\r\ncat\r\n\r\n  dog \r\ncat\r\n10\r\n11\r\n\
                tabby, tabby cat\r\n-3\r\n3\r\n\r\n\r\n";
    let (service, _folder) = labelled(text.as_bytes());
    assert_eq!(class(&service, "Gr%C3%B6%C3%9Fe").await, 0);
    assert_eq!(class(&service, "%EF%BB%BFdog").await, 3);
    assert_eq!(class(&service, "%20dog%20").await, 3);
    assert_eq!(class(&service, "tabby,%20tabby%20cat").await, 7);
    // An index first, then a label.
    assert_eq!(class(&service, "3").await, 3);
    assert_eq!(class(&service, "10").await, 5);
    assert_eq!(class(&service, "-3").await, 8);
    insta::assert_snapshot!(refusal(&service, "target=12").await, @"target: there is no class 12; the model has classes 0 to 9");
    insta::assert_snapshot!(refusal(&service, "target=-1").await, @"target: there is no class -1; the model has classes 0 to 9");
    insta::assert_snapshot!(refusal(&service, "contrast=cat").await, @"contrast: classes 1, 4 share the label 'cat'; name one by its index");
    insta::assert_snapshot!(refusal(&service, "target=DOG").await, @"target: there is no class with the label 'DOG'; similar labels: 'dog'");
    insta::assert_snapshot!(refusal(&service, "target=tabby").await, @"target: there is no class with the label 'tabby'; similar labels: 'tabby, tabby cat'");
    insta::assert_snapshot!(refusal(&service, "contrast=%20").await, @"contrast: a class's name can't be empty");
}

#[test]
fn text_in_another_encoding_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx("tinyvgg-torchscript"), "", "");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let refused = || {
        let inspected = camlens(folder.path(), &["inspect", "it"]);
        assert_eq!(inspected.status.code(), Some(1));
        String::from_utf8(inspected.stderr).unwrap().trim_end().to_owned()
    };
    std::fs::write(folder.path().join("it/labels.txt"), utf16("\u{feff}cat\r\ndog\r\n")).unwrap();
    insta::assert_snapshot!(refused(), @"camlens: it/labels.txt: the file is UTF-16 or UTF-32, or binary; it must be UTF-8");
    std::fs::write(folder.path().join("it/labels.txt"), b"tiny\xe9\n").unwrap();
    insta::assert_snapshot!(refused(), @"camlens: it/labels.txt: the file is not UTF-8 (line 1); it must be UTF-8");
    std::fs::write(folder.path().join("it/labels.txt"), "").unwrap();
    std::fs::write(folder.path().join("it/model.toml"), utf16("file = \"model.onnx\"\n")).unwrap();
    insta::assert_snapshot!(refused(), @"camlens: it/model.toml: the file is UTF-16 or UTF-32, or binary; it must be UTF-8");
}

#[test]
fn a_byte_order_mark_starts_no_manifest_and_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "it", &onnx("tinyvgg-torchscript"), "", "");
    let manifest = "\u{feff}file = \"model.onnx\"\n";
    std::fs::write(folder.path().join("it/model.toml"), manifest).unwrap();
    let settings = "\u{feff}[server]\nbody_bytes = 1000\n";
    std::fs::write(folder.path().join("camlens.toml"), settings).unwrap();
    let inspected = camlens(folder.path(), &["inspect", "it", "--config", "camlens.toml"]);
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
}
