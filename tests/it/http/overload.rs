//! A full queue, a deadline, a disconnected client, a shutdown: each gets its response and leaves
//! nothing behind.

use std::time::{Duration, Instant};

use axum::body::Body;
use camlens::app::Cost;
use camlens::config::Server;
use camlens::engine::JobClass;
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
    let admission = state.admission();
    until("work goes on", || admission.in_flight() == 0 && admission.working() == 0).await;
}

/// A queue of this size, full of work that waits for the sender to be dropped.
fn filled(state: &AppState, size: usize) -> std::sync::mpsc::Sender<()> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    for _ in 0..size {
        let released = Arc::clone(&released);
        let cost = Cost { class: JobClass::Short, bytes: 0 };
        let permit = state.admission().begin().unwrap().queue(cost).unwrap();
        tokio::spawn(permit.run(move |_| Ok(released.lock().unwrap().recv().is_err())));
    }
    release
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (service, state) = service_with(models(), Server { queue: 2, ..Server::default() });
    let release = filled(&state, 2);
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
    drop(release);
    nothing_is_left(&state).await;
    still_answers(&service).await;
}

#[tokio::test]
async fn bodies_that_do_not_arrive_take_no_place_in_the_queue() {
    let (service, state) = service_with(models(), Server { queue: 2, ..Server::default() });
    let slow: Vec<_> = (0..150)
        .map(|_| tokio::spawn(service.clone().oneshot(post("/v1/explain", "image/png", endless()))))
        .collect();
    until("the bodies are being read", || state.admission().in_flight() == 150).await;
    for _ in 0..10 {
        still_answers(&service).await;
    }
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    nothing_is_left(&state).await;
}

/// Sends a body in parts of so many bytes, 100 milliseconds apart.
fn trickling(body: Vec<u8>, bytes: usize) -> Body {
    let parts: Vec<Vec<u8>> = body.chunks(bytes).map(<[u8]>::to_vec).collect();
    Body::from_stream(futures_util::StreamExt::then(
        futures_util::stream::iter(parts),
        async |part| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, std::io::Error>(part)
        },
    ))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_arrives_too_slowly_is_refused_after_its_grace() {
    let (service, state) =
        service_with(models(), Server { min_body_rate: 1000, ..Server::default() });
    let started = tokio::time::Instant::now();
    let slow = post("/v1/explain", "image/png", trickling(chelsea(), 99));
    insta::assert_snapshot!(send(&service, slow).await.problem(), @r"
    408
    detail: the body arrived at less than 1000 bytes per second on average
    instance: /v1/explain
    title: The request arrived too slowly
    type: /docs#problem-slow-request
    ");
    let waited = started.elapsed();
    assert!((5..6).contains(&waited.as_secs()), "{waited:?}");
    nothing_is_left(&state).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_arrives_slowly_but_fast_enough_is_read() {
    let server = Server {
        min_body_rate: 1000,
        body_timeout_ms: 3_600_000,
        request_timeout_ms: 3_600_000,
        ..Server::default()
    };
    let (service, _) = service_with(models(), server);
    let request = post("/v1/predict", "image/png", trickling(chelsea(), 1000));
    assert_eq!(send(&service, request).await.status, 200);
}

#[tokio::test]
async fn bodies_wait_for_memory_and_large_ones_do_not_keep_small_ones_out() {
    let server = Server { memory_budget: Some(32 << 20), ..Server::default() };
    let (service, state) = service_with(models(), server);
    // The budget has 4 MiB for large bodies, which the first of them takes whole.
    let large = || {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![0_u8; 2 << 20])]);
        let body = Body::from_stream(futures_util::StreamExt::chain(
            first,
            futures_util::stream::pending(),
        ));
        tokio::spawn(service.clone().oneshot(post("/v1/explain", "image/png", body)))
    };
    let large = [large(), large(), large()];
    until("the large bodies are being read", || {
        let (bodies, _) = state.admission().budget().reserved_bytes();
        state.admission().in_flight() == 3 && bodies >= 6 << 20
    })
    .await;
    still_answers(&service).await;
    large.iter().for_each(tokio::task::JoinHandle::abort);
    nothing_is_left(&state).await;
    assert_eq!(state.admission().budget().reserved_bytes(), (0, 0));
}

#[tokio::test]
async fn a_request_that_needs_more_memory_than_there_is_gets_both_numbers() {
    let server = Server { memory_budget: Some(32 << 20), ..Server::default() };
    let (service, state) = service_with(models(), server);
    // A few bytes that state a size of 40 million pixels.
    let mut bomb = b"RIFF\x16\0\0\0WEBPVP8L\x09\0\0\0\x2f".to_vec();
    bomb.extend_from_slice(&(9999_u32 | 3999 << 14).to_le_bytes());
    bomb.extend_from_slice(&[0; 8]);
    insta::assert_snapshot!(post_image(&service, "/v1/predict", bomb).await.problem(), @r"
    413
    detail: the request would need 561048609 bytes of memory for its image; the service has 25165824 for all of them
    instance: /v1/predict
    title: The request needs too much memory
    type: /docs#problem-over-budget
    ");
    assert_eq!(state.admission().budget().reserved_bytes(), (0, 0));
    still_answers(&service).await;
}

#[tokio::test]
async fn memory_is_held_until_the_last_byte_of_the_response_is_sent() {
    let (service, state) = service_with(models(), Server::default());
    let request = post("/v1/explain", "image/png", chelsea());
    let response = service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let length = axum::body::HttpBody::size_hint(response.body()).exact().unwrap();
    let held = state.admission().budget().reserved_bytes();
    assert_eq!(held, (0, length.next_multiple_of(4096)), "more or less than the response");
    Answered::from(response).await;
    assert_eq!(state.admission().budget().reserved_bytes(), (0, 0));
}

#[tokio::test]
async fn a_short_request_goes_before_the_passes_of_long_ones() {
    let (service, state) = service_with(slow_models(), Server { workers: 1, ..Server::default() });
    let long: Vec<_> = (0..3)
        .map(|_| {
            let request = post("/v1/explain?method=scorecam", "image/png", chelsea());
            tokio::spawn(service.clone().oneshot(request))
        })
        .collect();
    until("the long ones are queued", || {
        state.admission().queued_of(JobClass::Long) == 3 && state.admission().working() == 1
    })
    .await;
    // The only worker for long requests is taken for many seconds.
    still_answers(&service).await;
    assert_eq!(state.admission().queued_of(JobClass::Long), 3);
    long.iter().for_each(tokio::task::JoinHandle::abort);
    nothing_is_left(&state).await;
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
