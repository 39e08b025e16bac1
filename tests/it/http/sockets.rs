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

struct Running {
    address: SocketAddr,
    state: Arc<AppState>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn serve(models: ModelRegistry, limits: Server) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let state = AppState::new(models, limits);
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { stopped.await.unwrap_or(()) };
    let ended = tokio::spawn(listener::serve(socket, Arc::clone(&state), stopped));
    Running { address, state, stop, ended }
}

async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off may have delivered a part.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
}

fn post_request(path: &str, image: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n",
        image.len()
    );
    [head.as_bytes(), image].concat()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
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
