//! Over real sockets: slow clients, clients that disconnect, and a shutdown.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use camlens::config::Server;
use camlens::http::{AppState, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<AppState>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

pub(super) async fn serve(models: ModelRegistry, limits: Server) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let state = AppState::new(models, limits);
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { stopped.await.unwrap_or(()) };
    let ended =
        tokio::spawn(listener::serve(socket, Arc::clone(&state), stopped, std::future::pending()));
    Running { address, state, stop, ended }
}

pub(super) async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off may have delivered a part.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn get_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
}

pub(super) fn post_request(path: &str, image: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n",
        image.len()
    );
    [head.as_bytes(), image].concat()
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_disconnected() {
    let running = serve(models(), Server { header_timeout_ms: 200, ..Server::default() }).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let closed = async {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        };
        let waited = tokio::time::timeout(Duration::from_secs(5), closed).await;
        assert!(waited.is_ok(), "{beginning:?} holds its connection");
    }
    assert!(ask(running.address, &get_request("/health/live")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_request_may_take_longer_than_its_head() {
    let running = serve(models(), Server { header_timeout_ms: 100, ..Server::default() }).await;
    let request = post_request("/v1/predict", &chelsea());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (beginning, rest) = request.split_at(request.len() / 2);
    stream.write_all(beginning).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(rest).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

/// Reads until the connection is closed, and gives how long that took.
pub(super) async fn until_closed(stream: &mut TcpStream) -> (Duration, String) {
    let started = Instant::now();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection stays open");
    (started.elapsed(), String::from_utf8_lossy(&rest).into_owned())
}

#[tokio::test]
async fn a_head_that_arrives_too_slowly_gets_a_408() {
    let running = serve(models(), Server { header_timeout_ms: 200, ..Server::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for byte in b"GET /health/live HTTP/1.1" {
        // In the end the service closes while this still sends.
        let _ = stream.write_all(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, answer) = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow-request"), "{answer}");
}

#[tokio::test]
async fn a_connection_stays_open_between_requests_for_as_long_as_its_own_setting_says() {
    let limits = Server { header_timeout_ms: 100, keep_alive_ms: 1500, ..Server::default() };
    let running = serve(models(), limits).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let (waited, _) = until_closed(&mut stream).await;
    assert!(waited > Duration::from_millis(500), "{waited:?}");
}

/// Waits for a count of connections that ended for this reason.
async fn until_ended(address: SocketAddr, reason: &str, count: usize) {
    let line = format!("camlens_connections_ended_total{{reason=\"{reason}\"}} {count}");
    let started = Instant::now();
    loop {
        let metrics = ask(address, &get_request("/metrics")).await;
        if metrics.contains(&line) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no {line}: {metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So many requests that their responses fill every buffer on the way.
async fn ask_for_more_than_buffers_hold(stream: &mut TcpStream) {
    let request = "GET /openapi.yaml HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.repeat(400).as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected() {
    let running = serve(models(), Server { send_timeout_ms: 300, ..Server::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    ask_for_more_than_buffers_hold(&mut stream).await;
    until_ended(running.address, "slow-receiver", 1).await;
}

/// hyper takes a body at once, long before the client does.
#[tokio::test]
async fn the_memory_of_a_response_is_held_until_its_client_has_taken_it() {
    let running = serve(models(), Server::default()).await;
    let request = post_request("/v1/explain?output=npy&size=image", &png(2000, 2000));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; 100];
    stream.read_exact(&mut answer).await.unwrap();
    // Time for all the rest to be handed over.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reserved = || running.state.admission().budget().reserved_bytes().1;
    assert!(reserved() >= 2000 * 2000 * 4, "{} bytes are reserved", reserved());
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() > 2000 * 2000 * 4);
    until("the memory is returned", || reserved() == 0).await;
}

#[tokio::test]
async fn a_client_that_reads_below_the_minimum_pace_is_disconnected_and_a_faster_one_is_not() {
    let limits = Server { send_timeout_ms: 1000, send_bytes_per_s: 200_000, ..Server::default() };
    let running = serve(models(), limits).await;
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    ask_for_more_than_buffers_hold(&mut slow).await;
    let dripping = tokio::spawn(async move {
        let mut part = [0; 1000];
        while slow.read(&mut part).await.is_ok_and(|length| length > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    until_ended(running.address, "slow-receiver", 1).await;
    dripping.abort();

    let mut fast = TcpStream::connect(running.address).await.unwrap();
    ask_for_more_than_buffers_hold(&mut fast).await;
    let (mut part, mut read) = (vec![0; 1 << 17], 0);
    // Two to three seconds, several times the limit.
    while read < 20_000_000 {
        let length = fast.read(&mut part).await.unwrap();
        assert!(length > 0, "closed after {read} bytes");
        read += length;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Flow control: the socket takes bytes, but the client allows none of the response's.
#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_disconnected() {
    let running = serve(models(), Server { send_timeout_ms: 300, ..Server::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    // HPACK: GET, http, and two literals: the path and the authority.
    let fields = [&[0x82, 0x86, 0x04, 13][..], b"/openapi.yaml", &[0x01, 1], b"x"].concat();
    let request = frame(1, 0x5, 1, &fields);
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &request].concat();
    stream.write_all(&all).await.unwrap();
    let (waited, _) = until_closed(&mut stream).await;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    until_ended(running.address, "slow-receiver", 1).await;
}

#[tokio::test]
async fn idle_connections_give_up_their_places() {
    let limits = Server { connections: 16, ..Server::default() };
    let running = serve(models(), limits).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(running.address).await.unwrap());
    }
    let started = Instant::now();
    let answer = ask(running.address, &get_request("/health/live")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let metrics = ask(running.address, &get_request("/metrics")).await;
    assert!(metrics.contains(r#"camlens_connections_ended_total{reason="shed"} "#), "{metrics}");
    // The first ones were idle for longest.
    let (waited, _) = until_closed(&mut idle[0]).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn a_connection_with_a_request_in_progress_is_not_closed_for_another() {
    let limits = Server { connections: 2, ..Server::default() };
    let running = serve(slow_models(), limits).await;
    let address = running.address;
    let request = post_request("/v1/predict", &chelsea());
    let working = tokio::spawn(async move { ask(address, &request).await });
    let admission = Arc::clone(running.state.admission());
    until("the work begins", || admission.queued() == 1).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(working.await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn readiness_falls_before_requests_are_refused() {
    let limits = Server { shutdown_delay_ms: 600, ..Server::default() };
    let running = serve(models(), limits).await;
    running.stop.send(()).unwrap();
    let started = Instant::now();
    while ask(running.address, &get_request("/health/ready")).await.starts_with("HTTP/1.1 200") {
        assert!(started.elapsed() < Duration::from_secs(5), "still ready");
    }
    let answer = ask(running.address, &post_request("/v1/predict", &chelsea())).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.ended.await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(550), "{:?}", started.elapsed());
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn work_is_stopped_when_its_client_disconnects() {
    let running = serve(slow_models(), Server::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&post_request("/v1/explain?method=scorecam", &chelsea())).await.unwrap();
    let admission = Arc::clone(running.state.admission());
    until("the work begins", || admission.working() == 1).await;
    drop(stream);
    until("the work ends", || admission.queued() == 0 && admission.working() == 0).await;
    let metrics = ask(running.address, &get_request("/metrics")).await;
    assert!(metrics.contains(r#"route="/v1/explain",method="POST",status="499"} 1"#), "{metrics}");
}

/// Reads a stream's events until one of this name is complete, and gives its data.
async fn event(stream: &mut TcpStream, name: &str) -> Value {
    let mut read = String::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "the stream ended: {read}");
        read.push_str(std::str::from_utf8(&part[..length]).unwrap());
        let found = read
            .split_once(&format!("event: {name}\ndata: "))
            .and_then(|(_, rest)| rest.split_once('\n'));
        if let Some((data, _)) = found {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_disconnects_from_a_stream_stops_the_work_at_once() {
    let running = serve(slow_models(), Server::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = post_request("/v1/explain?method=scorecam", &chelsea());
    stream
        .write_all(b"POST /v1/explain?method=scorecam HTTP/1.1\r\naccept: text/event-stream\r\n")
        .await
        .unwrap();
    let after_its_line = request.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    stream.write_all(&request[after_its_line..]).await.unwrap();
    let partial = event(&mut stream, "partial").await;
    assert_eq!(partial["partial"], true);
    let progress = event(&mut stream, "progress").await;
    let admission = Arc::clone(running.state.admission());
    assert_eq!(admission.working(), 1);
    let gone = Instant::now();
    drop(stream);
    until("the work ends", || admission.queued() == 0 && admission.working() == 0).await;
    // At most one of many passes may still have been running.
    let (done, total) = (progress["done"].as_f64().unwrap(), progress["total"].as_f64().unwrap());
    let remaining = Duration::from_secs_f64(progress["remaining_s"].as_f64().unwrap());
    assert!(
        gone.elapsed() < remaining / 2,
        "{:?} of {remaining:?} at {done}/{total}",
        gone.elapsed()
    );
    let metrics = ask(running.address, &get_request("/metrics")).await;
    assert!(metrics.contains(r#"route="/v1/explain",method="POST",status="499"} 1"#), "{metrics}");
    assert!(
        !metrics.contains("camlens_passes_total{"),
        "a response that nobody received was counted: {metrics}"
    );
}

#[tokio::test]
async fn a_client_that_sends_a_body_over_the_limit_still_gets_its_response() {
    let running = serve(models(), Server { body_bytes: 1000, ..Server::default() }).await;
    let answer = ask(running.address, &post_request("/v1/explain", &[0; 3000])).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body-too-large"), "{answer}");
}

/// What a body of this size needs, not the largest that there may be.
#[tokio::test]
async fn a_large_body_that_arrives_reserves_its_own_size() {
    let running = serve(models(), Server::default()).await;
    let size = 3 << 20;
    let request = post_request("/v1/predict", &vec![0; size]);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&request[..size / 2]).await.unwrap();
    let reserved = || running.state.admission().budget().reserved_bytes().0;
    until("the rest is reserved", || reserved() >= size as u64).await;
    assert!(reserved() <= size as u64 + (64 << 10), "{} bytes", reserved());
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_pixel(width, height, image::Rgb([9, 99, 200]));
    pixels.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Their responses hold memory for as long as they are not taken, and those that wait for it hold
/// nothing that a small request needs.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_large_responses_do_not_keep_small_requests_waiting() {
    let limits = Server { memory_budget: Some(256 << 20), workers: 2, ..Server::default() };
    let running = serve(models(), limits).await;
    let (address, admission) = (running.address, Arc::clone(running.state.admission()));
    // A map of four bytes for each of these pixels is more than sockets buffer.
    let large = post_request("/v1/explain?output=npy&size=image", &png(3000, 1200));
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&large).await.unwrap();
        unread.push(stream);
    }
    until("large responses wait for memory", || {
        admission.budget().is_short() && admission.queued() >= 8
    })
    .await;
    // All that wait would have to be served, and clients be disconnected for it, before the first
    // of these if they waited in one line.
    let waiting = admission.queued();
    for _ in 0..4 {
        let answer = ask(address, &post_request("/v1/predict", &chelsea())).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let left = admission.queued();
    assert!(left >= waiting / 2, "{waiting} large ones waited, {left} are left");
    drop(unread);
    until("nothing is left", || admission.queued() == 0).await;
}

#[tokio::test]
async fn a_shutdown_lets_running_work_finish() {
    let running = serve(slow_models(), Server::default()).await;
    let request = post_request("/v1/predict", &chelsea());
    let address = running.address;
    let working = tokio::spawn(async move { ask(address, &request).await });
    let admission = Arc::clone(running.state.admission());
    until("the work begins", || admission.queued() == 1).await;
    running.stop.send(()).unwrap();
    until("the shutdown begins", || admission.is_draining()).await;
    assert!(working.await.unwrap().starts_with("HTTP/1.1 200"));
    running.ended.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_stops_work_that_does_not_end_in_time() {
    let running = serve(slow_models(), Server { drain_timeout_ms: 300, ..Server::default() }).await;
    let request = post_request("/v1/explain?method=scorecam", &chelsea());
    let address = running.address;
    let working = tokio::spawn(async move { ask(address, &request).await });
    let admission = Arc::clone(running.state.admission());
    until("the work begins", || admission.working() == 1).await;
    // A client that holds its connection and sends nothing does not delay the shutdown.
    let _silent = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    running.stop.send(()).unwrap();
    until("the shutdown begins", || admission.is_draining()).await;
    let refused = ask(address, &get_request("/health/ready")).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 5"), "{refused}");
    let answer = working.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
    running.ended.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
