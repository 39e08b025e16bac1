//! A full queue, a deadline, a disconnected client, a shutdown: each gets its response and leaves
//! nothing behind.

use std::time::{Duration, Instant};

use axum::body::Body;
use camlens::config::Server;
use camlens::http::AppState;

use super::*;

/// A body that never ends, as from a client that stopped sending.
fn endless() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) async fn nothing_is_left(state: &AppState) {
    until("work goes on", || state.admission().queued() == 0 && state.admission().working() == 0)
        .await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (service, state) = service_with(models(), Server { queue: 2, ..Server::default() });
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(service.clone().oneshot(post("/v1/explain", "image/png", endless()))))
        .collect();
    until("the queue fills", || state.admission().queued() == 2).await;
    insta::assert_snapshot!(post_image(&service, "/v1/explain", chelsea()).await.problem(), @r"
    503 retry-after: 1
    detail: the queue is full: it holds 2 requests
    instance: /v1/explain
    title: The service is busy
    type: /docs#problem-busy
    ");
    // Health checks still get their response.
    assert_eq!(get(&service, "/health/ready").await.status, 200);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    nothing_is_left(&state).await;
    still_answers(&service).await;
}

#[tokio::test]
async fn a_deadline_stops_the_work() {
    let server = Server { request_timeout_ms: 300, ..Server::default() };
    let (service, state) = service_with(slow_models(), server);
    let started = Instant::now();
    let answered = post_image(&service, "/v1/explain?method=scorecam", chelsea()).await;
    insta::assert_snapshot!(answered.problem(), @r"
    504
    detail: the time limit of 300 ms has passed
    instance: /v1/explain
    title: The request took too long
    type: /docs#problem-deadline
    ");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    nothing_is_left(&state).await;
}

#[tokio::test]
async fn a_body_that_never_arrives_runs_into_the_body_timeout() {
    let (service, state) =
        service_with(models(), Server { body_timeout_ms: 50, ..Server::default() });
    insta::assert_snapshot!(send(&service, post("/v1/explain", "image/png", endless())).await.problem(), @r"
    408
    detail: the request did not arrive within 50 ms
    instance: /v1/explain
    title: The request arrived too slowly
    type: /docs#problem-slow-request
    ");
    nothing_is_left(&state).await;
    still_answers(&service).await;
}

#[tokio::test]
async fn work_is_stopped_when_its_client_disconnects() {
    let (service, state) = service_with(slow_models(), Server::default());
    let request = post("/v1/explain?method=scorecam", "image/png", chelsea());
    let client = tokio::spawn(service.clone().oneshot(request));
    until("the work begins", || state.admission().working() == 1).await;
    client.abort();
    nothing_is_left(&state).await;
}

#[tokio::test]
async fn a_shutdown_refuses_new_requests_and_stops_running_work() {
    let (service, state) = service_with(slow_models(), Server::default());
    let request = post("/v1/explain?method=scorecam", "image/png", chelsea());
    let client = tokio::spawn(service.clone().oneshot(request));
    until("the work begins", || state.admission().working() == 1).await;
    state.admission().drain();
    insta::assert_snapshot!(post_image(&service, "/v1/predict", chelsea()).await.problem(), @r"
    503 retry-after: 5
    detail: the service is shutting down
    instance: /v1/predict
    title: The service is shutting down
    type: /docs#problem-draining
    ");
    state.admission().stop_all();
    let stopped = Answered::from(client.await.unwrap().unwrap()).await;
    insta::assert_snapshot!(stopped.problem(), @r"
    503 retry-after: 5
    detail: the service is shutting down
    instance: /v1/explain
    title: The service is shutting down
    type: /docs#problem-draining
    ");
    nothing_is_left(&state).await;
}

#[tokio::test]
async fn requests_beyond_the_workers_wait_their_turn() {
    let (service, state) =
        service_with(models(), Server { workers: 1, queue: 8, ..Server::default() });
    let requests = (0..8).map(|_| post_image(&service, "/v1/explain", chelsea()));
    for answered in futures_util::future::join_all(requests).await {
        assert_eq!(answered.status, 200);
    }
    nothing_is_left(&state).await;
}
