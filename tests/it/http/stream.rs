//! `Accept: text/event-stream`: events while the work is done, then the response or a problem.

use std::time::Duration;

use camlens::app::Cost;
use camlens::engine::JobClass;
use camlens::http::AppState;
use futures_util::StreamExt;

use super::overload::{nothing_is_left, until};
use super::*;

fn streamed(path: &str) -> Request<Body> {
    let mut request = post(path, "image/png", chelsea());
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    request
}

/// Events in the order in which they arrived, with their data; a comment is one without data.
fn events(text: &str) -> Vec<(String, Value)> {
    let mut frames: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(frames.pop(), Some(""), "the last event is cut off");
    let read = |frame: &str| match frame.strip_prefix(": ") {
        Some(comment) => (format!(": {comment}"), Value::Null),
        None => {
            let (event, data) = frame.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (event.strip_prefix("event: ").unwrap().to_owned(), data)
        }
    };
    frames.into_iter().map(read).collect()
}

/// All events of a stream that runs to its end.
async fn all(service: &Router, path: &str) -> Vec<(String, Value)> {
    let answered = send(service, streamed(path)).await;
    assert_eq!(answered.status, 200, "{:?}", answered.body);
    assert_eq!(answered.header("content-type"), "text/event-stream");
    assert_eq!(answered.header("cache-control"), "no-store");
    assert_eq!(answered.header("x-accel-buffering"), "no");
    assert!(!answered.header("x-request-id").is_empty());
    events(std::str::from_utf8(&answered.body).unwrap())
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

async fn counted(service: &Router, status: u16) -> bool {
    let metrics = get(service, "/metrics").await;
    let line = format!(
        r#"camlens_requests_total{{route="/v1/explain",method="POST",status="{status}"}} 1"#
    );
    String::from_utf8_lossy(&metrics.body).contains(&line)
}

#[tokio::test]
async fn the_last_event_is_the_json_response() {
    let service = service();
    for method in ["gradcam", "scorecam"] {
        let options = format!("method={method}&layer=features.29&target=2");
        let streamed = all(&service, &format!("/v1/explain?{options}")).await;
        let plain = post_image(&service, &format!("/v1/explain?{options}&output=json"), chelsea())
            .await
            .json();
        let (name, result) = streamed.last().unwrap();
        assert_eq!((name.as_str(), streamed[0].0.as_str()), ("result", "started"));
        for member in ["heatmap", "target", "predictions", "passes", "image", "layer"] {
            assert_eq!(result[member], plain[member], "{method} {member}");
        }
        let is_slow = names(&streamed).contains(&"progress");
        assert_eq!(is_slow, method == "scorecam");
    }
    let compared = all(&service, "/v1/compare?methods=gradcam,scorecam").await;
    assert_eq!(compared.last().unwrap().1["maps"].as_object().unwrap().len(), 2);
    assert_eq!(
        compared.iter().find(|(name, _)| name == "progress").unwrap().1["method"],
        "scorecam"
    );
}

/// Events of every kind that a stream without a problem has.
pub(crate) async fn a_score_cam() -> Vec<(String, Value)> {
    let (service, state) = service_with(slow_models(), Server::default());
    let events = all(&service, "/v1/explain?method=scorecam&max_channels=32&normalize=none").await;
    assert!(counted(&service, 200).await);
    nothing_is_left(&state).await;
    events
}

#[tokio::test]
async fn progress_and_map_grow_with_the_passes() {
    let events = a_score_cam().await;
    let of = |name: &str| -> Vec<&Value> {
        events.iter().filter(|(known, _)| known == name).map(|(_, data)| data).collect()
    };
    let (progress, partial, result) = (of("progress"), of("partial"), of("result"));
    let total = result[0]["passes"]["masked"].as_u64().unwrap();
    let done = |event: &Value| event["done"].as_u64().unwrap();
    assert!(progress.is_sorted_by(|a, b| done(a) < done(b)), "{progress:?}");
    assert_eq!((done(progress[0]), &progress[0]["remaining_s"]), (0, &Value::Null));
    assert_eq!(done(progress.last().unwrap()), total);
    assert_eq!(progress.last().unwrap()["remaining_s"], 0.0);
    assert!(progress[1]["remaining_s"].as_f64().unwrap() > 0.0);
    assert!(progress.iter().chain(&partial).all(|event| event["total"] == total));

    let largest = |event: &Value| event["heatmap"]["max"].as_f64().unwrap();
    let mut maps = partial.clone();
    maps.push(result[0]);
    assert!(maps.len() >= 2, "{maps:?}");
    // A pass never lowers a map that is not normalised, but not every pass raises its maximum.
    assert!(maps.is_sorted_by(|a, b| largest(a) <= largest(b)));
    assert!(largest(maps[0]) < largest(result[0]));
    for partial in partial {
        assert_eq!((&partial["partial"], &partial["method"]), (&true.into(), &"scorecam".into()));
        assert_eq!(partial["heatmap"]["shape"], result[0]["heatmap"]["shape"]);
        assert_eq!(partial["target"], result[0]["target"]);
    }
}

#[tokio::test]
async fn an_unfinished_map_has_the_size_of_the_finished_one() {
    let (service, _) = service_with(slow_models(), Server::default());
    let events = all(&service, "/v1/explain?method=scorecam&max_channels=4&size=input").await;
    let shapes: Vec<&Value> = events
        .iter()
        .filter(|(name, _)| ["partial", "result"].contains(&name.as_str()))
        .map(|(_, data)| &data["heatmap"]["shape"])
        .collect();
    assert!(
        shapes.len() > 1 && shapes.iter().all(|shape| **shape == serde_json::json!([1024, 1024]))
    );
}

#[tokio::test]
async fn an_unfinished_map_names_target_contrast_and_negation() {
    let (service, _) = service_with(slow_models(), Server::default());
    let path =
        "/v1/explain?method=scorecam&score=logit&max_channels=16&target=2&contrast=5&negate=true";
    let events = all(&service, path).await;
    let (_, result) = events.last().unwrap();
    assert_eq!((&result["contrast"]["index"], &result["negate"]), (&5.into(), &true.into()));
    let partial: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "partial").map(|(_, data)| data).collect();
    assert!(!partial.is_empty());
    for member in ["target", "contrast", "negate"] {
        assert!(partial.iter().all(|event| event[member] == result[member]), "{member}");
    }
}

#[tokio::test]
async fn an_error_before_the_first_event_is_an_ordinary_problem() {
    let service = service();
    insta::assert_snapshot!(send(&service, streamed("/v1/explain?output=overlay")).await.problem(), @r"
    400
    detail: option 'output' can't be 'overlay' in a stream; it takes json, or leave text/event-stream out of Accept
    instance: /v1/explain
    option: output
    title: An option is not valid
    type: /docs#problem-invalid-option
    ");
    for (path, status) in [
        ("/v1/explain?metod=x", 400),
        ("/v1/explain?model=none", 404),
        ("/v1/explain?layer=none", 422),
        ("/v1/explain?method=scorecam&target=none", 422),
        ("/v1/explain?model=nan", 422),
        ("/v1/compare?output=figure", 400),
    ] {
        let answered = send(&service, streamed(path)).await;
        assert_eq!(
            (answered.status.as_u16(), answered.header("content-type")),
            (status, "application/problem+json")
        );
    }
    let predicted = send(&service, streamed("/v1/predict")).await;
    assert_eq!(predicted.header("content-type"), "application/json");
}

/// The problem that ends a stream, as a snapshot of its words.
fn problem(events: &[(String, Value)], request_id: &str) -> String {
    let (name, problem) = events.last().unwrap();
    assert_eq!(name, "problem");
    assert_eq!(problem["request_id"], request_id);
    format!("{} {}: {}", problem["status"], problem["instance"], problem["detail"])
}

#[tokio::test]
async fn a_deadline_ends_the_stream_with_a_problem() {
    // The speed of the machine is unknown: search for a limit that falls among the passes.
    let mut limit = 100;
    for _ in 0..40 {
        let (service, state) =
            service_with(slow_models(), Server { request_timeout_ms: limit, ..Server::default() });
        let answered = send(&service, streamed("/v1/explain?method=scorecam")).await;
        let is_stream = answered.header("content-type") == "text/event-stream";
        let events = if is_stream {
            events(std::str::from_utf8(&answered.body).unwrap())
        } else {
            Vec::new()
        };
        if !names(&events).contains(&"progress") {
            limit *= 2;
        } else if names(&events).contains(&"result") {
            limit = limit * 2 / 3;
        } else {
            let words = problem(&events, answered.header("x-request-id"));
            assert_eq!(
                words,
                format!(r#"504 "/v1/explain": "the time limit of {limit} ms has passed""#)
            );
            nothing_is_left(&state).await;
            assert!(counted(&service, 504).await);
            return;
        }
    }
    panic!("no limit fell among the passes");
}

/// A stream whose first event is there.
async fn begun(service: &Router, state: &AppState) -> Response {
    let response = service.clone().oneshot(streamed("/v1/explain?method=scorecam")).await.unwrap();
    assert_eq!((response.status(), state.admission().working()), (StatusCode::OK, 1));
    response
}

#[tokio::test]
async fn a_shutdown_ends_the_stream_with_a_problem() {
    let (service, state) = service_with(slow_models(), Server::default());
    let response = begun(&service, &state).await;
    state.admission().drain();
    state.admission().stop_all();
    let answered = Answered::from(response).await;
    let events = events(std::str::from_utf8(&answered.body).unwrap());
    insta::assert_snapshot!(problem(&events, answered.header("x-request-id")), @r#"503 "/v1/explain": "the service is shutting down""#);
    nothing_is_left(&state).await;
}

#[tokio::test]
async fn a_client_that_disconnects_from_the_stream_stops_the_work() {
    let (service, state) = service_with(slow_models(), Server::default());
    drop(begun(&service, &state).await);
    nothing_is_left(&state).await;
    assert!(counted(&service, 499).await);
}

#[tokio::test]
async fn a_request_that_waits_for_a_worker_gets_events_and_keep_alives() {
    let (service, state) = service_with(models(), Server { workers: 1, ..Server::default() });
    let (release, released) = std::sync::mpsc::channel::<()>();
    let cost = Cost { class: JobClass::Short, bytes: 0 };
    let permit = state.admission().begin().unwrap().queue(cost).unwrap();
    let first = tokio::spawn(permit.run(move |_| Ok(released.recv().is_err())));
    until("the first is at work", || state.admission().working() == 1).await;
    let second = tokio::spawn(service.clone().oneshot(streamed("/v1/explain?method=gradcam")));
    until("the second waits", || state.admission().queued() == 2).await;
    // From here on time passes only when the test says so.
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(1100)).await;
    let mut body = second.await.unwrap().unwrap().into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "event: queued\ndata: {}\n\n");
    let silent = tokio::spawn(async move { (body.next().await.unwrap().unwrap(), body) });
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_millis(10_100)).await;
    let (comment, mut body) = silent.await.unwrap();
    assert_eq!(comment, ": still here\n\n");
    tokio::time::resume();
    drop(release);
    assert!(first.await.unwrap().unwrap().0);
    let mut rest = String::new();
    while let Some(frame) = body.next().await {
        rest.push_str(std::str::from_utf8(&frame.unwrap()).unwrap());
    }
    assert_eq!(names(&events(&rest)), ["started", "result"]);
    nothing_is_left(&state).await;
}
