//! Models, health, metrics, and the id that every response has.

use axum::body::Body;
use axum::http::Request;

use super::*;

#[tokio::test]
async fn models_are_listed_with_their_status() {
    let service = service();
    insta::assert_snapshot!(format!("{:#}", get(&service, "/v1/models").await.json()), @r#"
    {
      "default": "tiny",
      "details": [
        {
          "description": null,
          "domain": null,
          "error": "broken/model.onnx: not an ONNX model",
          "id": "broken",
          "notice": null,
          "ready": false,
          "status": "failed",
          "title": null
        },
        {
          "description": null,
          "domain": null,
          "id": "cropped",
          "notice": null,
          "ready": true,
          "status": "ready",
          "title": null
        },
        {
          "description": null,
          "domain": null,
          "id": "nan",
          "notice": null,
          "ready": true,
          "status": "ready",
          "title": null
        },
        {
          "description": null,
          "domain": null,
          "id": "tiny",
          "notice": null,
          "ready": true,
          "status": "ready",
          "title": null
        }
      ],
      "models": [
        "broken",
        "cropped",
        "nan",
        "tiny"
      ]
    }
    "#);
    insta::assert_snapshot!(get(&service, "/v1/models/none").await.problem(), @r"
    404
    detail: there is no model 'none'; there are: broken, cropped, nan, tiny
    error: Model with name none does not exist.
    instance: /v1/models/none
    option: model
    title: There is no such model
    type: /docs#problem-unknown-model
    ");
    insta::assert_snapshot!(get(&service, "/v1/models/broken").await.problem(), @r"
    424
    detail: model 'broken' could not be loaded: broken/model.onnx: not an ONNX model
    error: Model with name broken is not ready.
    instance: /v1/models/broken
    title: The model could not be loaded
    type: /docs#problem-model-failed
    ");
}

#[tokio::test]
async fn a_model_describes_its_input_and_its_layers() {
    let mut model = get(&service(), "/v1/models/tiny").await.json();
    let layers = model["layers"].take();
    assert_eq!(model["labels"].take().as_array().unwrap().len(), 10);
    assert!(
        layers.as_array().unwrap().iter().any(|layer| layer["alias"] == model["default_layer"])
    );
    insta::assert_snapshot!(layers[0].to_string(), @r#"{"alias":"features.1","gradient":"exact","gradients":true,"layout":"nchw","methods":["gradcam++","gradcam","scorecam","layercam","hirescam","xgradcam","gradcam-elementwise","eigencam","eigengradcam","random","ablationcam","reciprocam","smoothgradcam++","groupcam"],"name":"/features/features.1/Relu","same_maps":[],"shape":[4,64,64],"tensor":"/features/features.1/Relu_output_0"}"#);
    insta::assert_snapshot!(format!("{model:#}"), @r#"
    {
      "default_layer": "features.29",
      "description": null,
      "domain": null,
      "file": "model.onnx",
      "id": "tiny",
      "input": {
        "batch": 1,
        "color": "rgb",
        "crop_ratio": 1.0,
        "fit": "stretch",
        "layout": "nchw",
        "mean": [
          0.485,
          0.456,
          0.406
        ],
        "name": "input",
        "resize": "bilinear",
        "scale": 0.003921569,
        "shape": [
          null,
          3,
          64,
          64
        ],
        "size": [
          64,
          64
        ],
        "std": [
          0.229,
          0.224,
          0.225
        ]
      },
      "labels": null,
      "layers": null,
      "methods": {
        "ablationcam": {
          "available": true
        },
        "eigencam": {
          "available": true
        },
        "eigengradcam": {
          "available": true
        },
        "gradcam": {
          "available": true
        },
        "gradcam++": {
          "available": true
        },
        "gradcam-elementwise": {
          "available": true
        },
        "groupcam": {
          "available": true
        },
        "hirescam": {
          "available": true
        },
        "layercam": {
          "available": true
        },
        "random": {
          "available": true
        },
        "reciprocam": {
          "available": true
        },
        "scorecam": {
          "available": true
        },
        "smoothgradcam++": {
          "available": true
        },
        "xgradcam": {
          "available": true
        }
      },
      "name": "tiny",
      "output": {
        "classes": 10,
        "kind": "logits",
        "name": "output",
        "others": []
      },
      "ready": true,
      "status": "ready",
      "title": null,
      "warnings": []
    }
    "#);
}

#[tokio::test]
async fn live_and_ready_report_the_service_s_state() {
    let (service, state) = service_with(models(), Default::default());
    insta::assert_snapshot!(get(&service, "/health/live").await.json().to_string(), @r#"{"status":"ok"}"#);
    let ready = get(&service, "/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (200, &Value::from("ready")));
    state.admission().drain();
    insta::assert_snapshot!(get(&service, "/health/ready").await.problem(), @r"
    503 retry-after: 5
    detail: the service is shutting down
    instance: /health/ready
    title: The service is shutting down
    type: /docs#problem-draining
    ");
    assert_eq!(get(&service, "/health/live").await.status, 200);
}

#[tokio::test]
async fn a_service_whose_default_model_is_broken_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "broken", b"nothing", "", "");
    let (service, _) = service_with(start(folder.path(), "broken"), Default::default());
    insta::assert_snapshot!(get(&service, "/health/ready").await.problem(), @r"
    503 retry-after: 2
    detail: model 'broken' could not be loaded: broken/model.onnx: not an ONNX model
    instance: /health/ready
    title: The model is not ready
    type: /docs#problem-not-ready
    ");
    assert_eq!(get(&service, "/health/live").await.status, 200);
}

#[tokio::test]
async fn a_model_that_lost_its_file_is_listed_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", "");
    model(folder.path(), "a-lost-one", b"", "", "");
    std::fs::remove_file(folder.path().join("a-lost-one/model.onnx")).unwrap();
    let models = ModelRegistry::start(folder.path(), None, &settings()).unwrap();
    models.wait();
    let (service, _) = service_with(models, Default::default());
    let list = get(&service, "/v1/models").await.json();
    assert_eq!(list["default"], "tiny");
    assert_eq!(
        (&list["details"][0]["id"], &list["details"][0]["ready"]),
        (&"a-lost-one".into(), &false.into())
    );
    let reason = list["details"][0]["error"].as_str().unwrap();
    assert!(reason.starts_with("a-lost-one/model.onnx: the model file is missing"), "{reason}");
    let refused = post_image(&service, "/v1/predict?model=a-lost-one", chelsea()).await;
    assert_eq!(refused.status, 424, "{:?}", refused.body);
    assert_eq!(get(&service, "/health/ready").await.status, 200);
}

#[tokio::test]
async fn an_admin_port_serves_health_and_metrics_and_the_main_port_health() {
    let server = Server { admin_listen: Some(([127, 0, 0, 1], 1).into()), ..Server::default() };
    let (main, state) = service_with(models(), server);
    let admin = camlens::http::admin_router(state);
    for (path, on_main, on_admin) in [
        ("/health/live", 200, 200),
        ("/health/ready", 200, 200),
        ("/metrics", 404, 200),
        ("/v1/models", 200, 404),
        ("/", 200, 404),
    ] {
        assert_eq!(get(&main, path).await.status, on_main, "{path}");
        assert_eq!(get(&admin, path).await.status, on_admin, "{path}");
    }
    assert_eq!(get(&service(), "/metrics").await.status, 200);
}

#[tokio::test]
async fn requests_and_passes_are_counted() {
    let server = Server { memory_budget: Some(1 << 30), ..Server::default() };
    let (service, _) = service_with(models(), server);
    post_image(&service, "/v1/explain?method=scorecam&max_channels=3&layer=features.29", chelsea())
        .await;
    post_image(&service, "/v1/explain?metod=x", chelsea()).await;
    get(&service, "/a/scanner/s/path").await;
    let answered = get(&service, "/metrics").await;
    assert_eq!(answered.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(answered.body.to_vec()).unwrap();
    let mut counts: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("camlens_") && !line.contains("_bucket") && !line.contains("_sum")
        })
        .collect();
    counts.sort_unstable();
    insta::assert_snapshot!(counts.join("\n"), @r#"
    camlens_build_info{version="0.1.0"} 1
    camlens_cache_bytes 0
    camlens_cache_total{kind="forward",outcome="hit"} 0
    camlens_cache_total{kind="forward",outcome="miss"} 0
    camlens_cache_total{kind="masked",outcome="hit"} 0
    camlens_cache_total{kind="masked",outcome="miss"} 0
    camlens_connections 0
    camlens_log_lines_dropped_total 0
    camlens_model_ready{model="broken"} 0
    camlens_model_ready{model="cropped"} 1
    camlens_model_ready{model="nan"} 1
    camlens_model_ready{model="tiny"} 1
    camlens_passes_total{model="tiny",kind="forward"} 1
    camlens_passes_total{model="tiny",kind="masked"} 3
    camlens_passes_total{model="tiny",kind="skipped"} 7
    camlens_queue{class="long"} 0
    camlens_queue{class="short"} 0
    camlens_reading 0
    camlens_request_duration_seconds_count{route="/v1/explain",method="POST",status="200",model="tiny",explain_method="scorecam"} 1
    camlens_request_duration_seconds_count{route="/v1/explain",method="POST",status="400",model="",explain_method=""} 1
    camlens_request_duration_seconds_count{route="none",method="GET",status="404",model="",explain_method=""} 1
    camlens_request_memory_budget_bytes 1073741824
    camlens_request_memory_bytes{use="bodies"} 0
    camlens_request_memory_bytes{use="work"} 0
    camlens_requests_total{route="/v1/explain",method="POST",status="200"} 1
    camlens_requests_total{route="/v1/explain",method="POST",status="400"} 1
    camlens_requests_total{route="none",method="GET",status="404"} 1
    camlens_stage_duration_seconds_count{stage="decode",model="tiny"} 1
    camlens_stage_duration_seconds_count{stage="forward",model="tiny"} 1
    camlens_stage_duration_seconds_count{stage="passes",model="tiny"} 1
    camlens_stage_duration_seconds_count{stage="queue",model="tiny"} 1
    camlens_stage_duration_seconds_count{stage="render",model="tiny"} 1
    camlens_working 0
    "#);
}

#[tokio::test]
async fn a_stream_is_counted_with_its_model_method_and_stages() {
    let service = service();
    let path = "/v1/explain?method=scorecam&max_channels=3";
    let mut request = post(path, "image/png", chelsea());
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    send(&service, request).await;
    let text = String::from_utf8(get(&service, "/metrics").await.body.to_vec()).unwrap();
    for line in [
        r#"camlens_request_duration_seconds_count{route="/v1/explain",method="POST",status="200",model="tiny",explain_method="scorecam"} 1"#,
        r#"camlens_stage_duration_seconds_count{stage="queue",model="tiny"} 1"#,
        r#"camlens_stage_duration_seconds_count{stage="render",model="tiny"} 1"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_process_is_described_by_the_names_that_dashboards_expect() {
    let text = String::from_utf8(get(&service(), "/metrics").await.body.to_vec()).unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = since_1970 - value("process_start_time_seconds");
    // The kernel counts from its start in hundredths of seconds; a minute is far more than that.
    assert!((-60.0..86400.0).contains(&age), "{age}");
}

#[tokio::test]
async fn cache_hits_and_bytes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "tiny", &onnx("tinyvgg-torchscript"), "", "");
    let settings = Settings { cache_bytes: 1 << 20, ..settings() };
    let models = ModelRegistry::start(folder.path(), None, &settings).unwrap();
    models.wait();
    let (service, _) = service_with(models, Default::default());
    let path = "/v1/explain?method=scorecam&max_channels=3&output=json";
    let first = post_image(&service, path, chelsea()).await.json();
    let colours = post_image(
        &service,
        "/v1/explain?method=scorecam&max_channels=3&colormap=viridis",
        chelsea(),
    )
    .await;
    assert_eq!(colours.header("content-type"), "image/png");
    let again = post_image(&service, path, chelsea()).await.json();
    assert_eq!(first["heatmap"], again["heatmap"]);
    insta::assert_snapshot!(first["passes"].to_string(), @r#"{"forward":1,"masked":3,"skipped":7,"tail":0}"#);
    insta::assert_snapshot!(again["passes"].to_string(), @r#"{"forward":0,"masked":0,"skipped":10,"tail":0}"#);
    let text = String::from_utf8(get(&service, "/metrics").await.body.to_vec()).unwrap();
    let value = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value(r#"camlens_cache_total{kind="masked",outcome="hit"}"#), 6);
    assert_eq!(value(r#"camlens_cache_total{kind="masked",outcome="miss"}"#), 3);
    assert_eq!(value(r#"camlens_cache_total{kind="forward",outcome="hit"}"#), 2);
    assert_eq!(value(r#"camlens_passes_total{model="tiny",kind="masked"}"#), 3);
    assert!((1000..1 << 20).contains(&value("camlens_cache_bytes")));
}

#[tokio::test]
async fn every_response_has_the_client_s_id_or_a_new_one() {
    let service = service();
    let ask = async |id: &str| {
        let request =
            Request::get("/health/live").header("x-request-id", id).body(Body::empty()).unwrap();
        send(&service, request).await.header("x-request-id").to_owned()
    };
    assert_eq!(ask("job-7.a_B").await, "job-7.a_B");
    for invalid in ["", "two words", "a\"b", &"x".repeat(129)] {
        let id = ask(invalid).await;
        assert!(id.len() == 36 && id != invalid, "{id}");
    }
    assert!(!get(&service, "/nowhere").await.header("x-request-id").is_empty());
}
