//! Models that change on disk while the service runs.

use std::time::Duration;

use camlens::config::Server;
use camlens::engine::TrialPolicy;
use onnx_gradient::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    ValueInfoProto, data_type,
};
use tempfile::TempDir;

use super::*;

/// A service with the model `tiny` in a folder, whose models may be changed by requests.
fn changeable() -> (Router, Arc<AppState>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", "");
    let (service, state) = serve(folder.path());
    (service, state, folder)
}

fn serve(folder: &Path) -> (Router, Arc<AppState>) {
    let settings = Settings { cache_bytes: 1 << 24, ..settings() };
    let models = ModelRegistry::start(folder, Some("tiny"), &settings).unwrap();
    models.wait();
    service_with(models, Server { admin: true, ..Server::default() })
}

async fn command(service: &Router, path: &str) -> Answered {
    send(service, post(path, "application/json", Body::empty())).await
}

/// Replaces a file of the model `tiny` as an atomic rename does it.
fn replace(folder: &TempDir, name: &str, bytes: &[u8]) {
    let path = folder.path().join("tiny").join(name);
    let new = folder.path().join("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn logit(service: &Router) -> f64 {
    let answer = post_image(service, "/v1/predict?model=tiny&top_k=1", chelsea()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()["predictions"][0]["logit"].as_f64().unwrap()
}

/// The cache is on: results of the old version are not those of the new one.
#[tokio::test]
async fn a_reload_serves_changed_models_adds_new_ones_and_drops_those_that_are_gone() {
    let (service, _, folder) = changeable();
    let before = logit(&service).await;
    let manifest = b"file = \"model.onnx\"\n[input]\nscale = 0.001\n";
    replace(&folder, "model.toml", manifest);
    model(folder.path(), "second", &onnx("tinyvgg-torchscript"), "", "");
    assert_eq!(logit(&service).await, before);
    let report = command(&service, "/v1/models/reload").await.json();
    assert_eq!(report["loaded"], serde_json::json!(["second", "tiny"]));
    assert_ne!(logit(&service).await, before);

    std::fs::remove_dir_all(folder.path().join("second")).unwrap();
    let report = command(&service, "/v1/models/reload").await.json();
    assert_eq!(report["removed"], serde_json::json!(["second"]));
    assert_eq!(report["unchanged"], serde_json::json!(["tiny"]));
    assert_eq!(get(&service, "/v1/models/second").await.status, 404);
    let metrics = get(&service, "/metrics").await;
    assert!(!String::from_utf8_lossy(&metrics.body).contains("model=\"second\""));
}

#[tokio::test]
async fn a_bad_new_version_leaves_the_old_one_serving_and_says_so() {
    let (service, _, folder) = changeable();
    let before = logit(&service).await;
    replace(&folder, "model.onnx", b"no model");
    let report = command(&service, "/v1/models/reload").await.json();
    let reason = "tiny/model.onnx: not an ONNX model";
    assert_eq!(report["failed"], serde_json::json!([{ "id": "tiny", "error": reason }]));
    assert_eq!(logit(&service).await, before);
    assert_eq!(get(&service, "/v1/models/tiny").await.json()["reload_error"], reason);
    assert_eq!(get(&service, "/v1/models").await.json()["details"][0]["error"], reason);
    assert_eq!(get(&service, "/health/ready").await.status, 200);
    assert_eq!(command(&service, "/v1/models/tiny/load").await.status, 424);

    // A file that is lost is no reason to stop, either; and a good one ends the complaint.
    std::fs::remove_file(folder.path().join("tiny/model.onnx")).unwrap();
    let report = command(&service, "/v1/models/reload").await.json();
    assert!(report["failed"][0]["error"].as_str().unwrap().contains("is missing"), "{report}");
    assert_eq!(logit(&service).await, before);
    replace(&folder, "model.onnx", &onnx("tinyvgg-torchscript"));
    assert_eq!(command(&service, "/v1/models/tiny/load").await.status, 200);
    assert!(get(&service, "/v1/models/tiny").await.json().get("reload_error").is_none());
}

/// Requests that run side by side end in the sessions in which they began, and no version answers
/// with another one's digits.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_reloaded_and_unloaded_while_its_passes_run_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", "");
    let settings = Settings { threads: Some(2), side_by_side: Some(2), ..settings() };
    let models = ModelRegistry::start(folder.path(), Some("tiny"), &settings).unwrap();
    models.wait();
    let (service, _) = service_with(models, Server { admin: true, ..Server::default() });
    let old = logit(&service).await;
    replace(&folder, "model.toml", b"file = \"model.onnx\"\n[input]\nscale = 0.001\n");

    let requests = || {
        let clients = (0..4).map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut logits = Vec::new();
                for _ in 0..20 {
                    logits.push(logit(&service).await);
                }
                logits
            })
        });
        futures_util::future::join_all(clients.collect::<Vec<_>>())
    };
    let (found, report) = tokio::join!(requests(), command(&service, "/v1/models/reload"));
    assert_eq!(report.json()["loaded"], serde_json::json!(["tiny"]));
    let new = logit(&service).await;
    assert_ne!(old, new);
    for logits in found {
        let logits = logits.unwrap();
        assert!(logits.iter().all(|logit| [old, new].contains(logit)), "{logits:?}");
    }
    let (found, _) = tokio::join!(requests(), command(&service, "/v1/models/tiny/load"));
    assert!(found.into_iter().flat_map(Result::unwrap).all(|logit| logit == new));
    assert_eq!(command(&service, "/v1/models/tiny/unload").await.status, 200);
    assert_eq!(post_image(&service, "/v1/predict?model=tiny", chelsea()).await.status, 404);
}

/// The file was overwritten in place, so the old version is gone.
#[tokio::test]
async fn an_overwritten_model_fails_until_it_is_loaded_again() {
    let (service, _, folder) = changeable();
    let path = folder.path().join("tiny/model.onnx");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    let spoilt = post_image(&service, "/v1/explain?model=tiny", chelsea()).await;
    insta::assert_snapshot!(spoilt.problem(), @r"
    424
    detail: the model's file was overwritten while it was served, and what was loaded is gone; reload the models, and replace files by renaming
    instance: /v1/explain
    title: The model could not be loaded
    type: /docs#problem-model-failed
    ");
    assert_eq!(get(&service, "/health/ready").await.status, 503);
    let listed = get(&service, "/v1/models").await.json()["details"][0].clone();
    assert_eq!((&listed["ready"], &listed["status"]), (&false.into(), &"failed".into()));
    let metrics = get(&service, "/metrics").await.body;
    let metrics = std::str::from_utf8(&metrics).unwrap();
    assert!(metrics.contains("camlens_model_ready{model=\"tiny\"} 0"), "{metrics}");
    std::fs::write(&path, onnx("tinyvgg-torchscript")).unwrap();
    let report = command(&service, "/v1/models/reload").await.json();
    assert_eq!(report["loaded"], serde_json::json!(["tiny"]));
    logit(&service).await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_served_to_the_end_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &enlarged("tinylite", 512), "", "");
    let (service, state) = serve(folder.path());
    let path = "/v1/explain?method=scorecam&output=json";
    let asked = service.clone();
    let running = tokio::spawn(async move { post_image(&asked, path, chelsea()).await });
    overload::until("the request begins", || state.admission().working() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(command(&service, "/v1/models/tiny/unload").await.status, 200);
    assert_eq!(post_image(&service, path, chelsea()).await.status, 404);
    assert_eq!(running.await.unwrap().status, 200);
    assert_eq!(command(&service, "/v1/models/tiny/load").await.status, 200);
    assert_eq!(get(&service, "/health/ready").await.status, 200);
}

#[tokio::test]
async fn models_are_changed_only_where_the_settings_allow_it() {
    let service = service();
    for path in ["/v1/models/reload", "/v1/models/tiny/load", "/v1/models/tiny/unload"] {
        let refused = command(&service, path).await;
        assert_eq!(refused.status, 404, "{path}");
    }
    let (service, _, _folder) = changeable();
    for path in ["/v1/models/none/load", "/v1/models/..%2Ftiny/load", "/v1/models/none/unload"] {
        assert_eq!(command(&service, path).await.status, 404, "{path}");
    }
}

/// A model whose scores pass through a loop that counts to the largest number.
fn endless() -> Vec<u8> {
    let mut model = ModelProto::decode(onnx("tinyvgg-torchscript").as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let output = graph.output[0].name().to_owned();
    let last = graph.node.iter_mut().find(|node| node.output[0] == output).unwrap();
    last.output[0] = "before".into();
    let scalar = |name: &str, kind: i32, bytes: &[u8]| TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(kind),
        raw_data: Some(bytes.to_vec().into()),
        ..Default::default()
    };
    graph.initializer.push(scalar("count", data_type::INT64, &i64::MAX.to_le_bytes()));
    graph.initializer.push(scalar("go", data_type::BOOL, &[1]));
    let typed = |name: &str, kind: i32| {
        ValueInfoProto::typed(name, kind, Some(TensorShapeProto::default()))
    };
    let value = ValueInfoProto::untyped;
    let body = GraphProto {
        name: Some("body".to_owned()),
        node: vec![
            NodeProto::new("Identity", &["go_on"], &["still"]),
            NodeProto::new("Identity", &["inside"], &["same"]),
        ],
        input: vec![
            typed("step", data_type::INT64),
            typed("go_on", data_type::BOOL),
            value("inside"),
        ],
        output: vec![typed("still", data_type::BOOL), value("same")],
        ..Default::default()
    };
    let node = NodeProto::new("Loop", &["count", "go", "before"], &[&output]);
    graph.node.push(node.with(AttributeProto::graph("body", body)));
    model.encode_to_vec()
}

/// The loop runs for longer than the universe has existed.
#[tokio::test]
async fn a_model_that_never_ends_is_listed_as_failed_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", "");
    model(folder.path(), "endless", &endless(), "[input]\nsize = [64, 64]\n", "");
    let settings = Settings {
        trial: TrialPolicy::Unpinned,
        trial_program: Some(env!("CARGO_BIN_EXE_camlens").into()),
        trial_timeout: Duration::from_secs(5),
        ..settings()
    };
    let models = ModelRegistry::start(folder.path(), Some("tiny"), &settings).unwrap();
    models.wait();
    let (service, _) = service_with(models, Server::default());
    let refused = post_image(&service, "/v1/predict?model=endless", chelsea()).await;
    assert_eq!(refused.status, 424);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("endless: loading it takes longer than 5 s"), "{detail}");
    logit(&service).await;
}
