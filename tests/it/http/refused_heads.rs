//! Requests that are refused by their heads, over real sockets: too large, not HTTP, or against its
//! rules. Each gets a problem, and at once.

use std::time::Duration;

use camlens::config::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::sockets::{ask, get_request, post_request, serve, until, until_closed};
use super::*;

/// The client has sent a head and may be about to send gigabytes.
#[tokio::test]
async fn a_body_that_announces_itself_as_too_large_is_refused_before_it_arrives() {
    let running = serve(models(), Server { body_bytes: 1000, ..Server::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = post_request("/v1/explain", &[0; 3000]);
    stream.write_all(&head[..head.len() - 3000]).await.unwrap();
    let mut answer = [0; 4096];
    // Waiting for the rest of the body would take five seconds.
    let read = tokio::time::timeout(Duration::from_secs(4), stream.read(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer[..read.expect("it waits").unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body-too-large"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_discarded_takes_no_memory_from_others() {
    let running = serve(models(), Server { body_bytes: 8 << 20, ..Server::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let size = 9 << 20;
    let request = post_request("/v1/explain", &vec![0; size]);
    stream.write_all(&request[..size / 2]).await.unwrap();
    let mut answer = [0; 4096];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let admission = Arc::clone(running.state.admission());
    until("its memory is returned", || admission.budget().reserved_bytes().0 == 0).await;
    stream.write_all(&request[size / 2..size / 2 + (3 << 20)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(admission.budget().reserved_bytes().0, 0);
}

#[tokio::test]
async fn the_rest_of_a_refused_body_is_no_head_of_the_next_request() {
    let limits = Server { body_bytes: 1000, header_timeout_ms: 200, ..Server::default() };
    let running = serve(models(), limits).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "POST /v1/explain HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n\
                content-length: 3000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    for _ in 0..10 {
        stream.write_all(&[0; 300]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    stream.write_all(&get_request("/health/live")).await.unwrap();
    let (_, next) = until_closed(&mut stream).await;
    assert!(next.starts_with("HTTP/1.1 200"), "{next}");
}

/// The head and the problem of a response.
fn problem(answer: &str) -> (&str, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a complete head");
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    assert!(head.contains("x-request-id: "), "{answer}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    (head, serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn a_request_that_is_no_http_gets_a_problem() {
    let running = serve(models(), Server::default()).await;
    let many = (0..200).map(|index| format!("x-{index}: 1\r\n")).collect::<String>();
    let long = "x".repeat(70_000);
    let large = format!("x-large: {}\r\n", "x".repeat(600_000));
    for (status, request) in [
        (400, "NO SENSE\r\n\r\n".to_owned()),
        (400, "GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nhost: x\r\na header\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n".to_owned()),
        (414, format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n")),
        (431, format!("GET / HTTP/1.1\r\nhost: x\r\n{large}\r\n")),
        // After a request of the same connection.
        (400, "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nNO SENSE\r\n\r\n".to_owned()),
    ] {
        let start = &request[..request.len().min(60)];
        let answer = ask(running.address, request.as_bytes()).await;
        let last = answer.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("{start}: {answer}"));
        let (head, problem) = problem(&answer[last..]);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{start}: {answer}");
        assert_eq!(problem["status"], status, "{start}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{start}");
    }
}

#[tokio::test]
async fn a_head_that_lacks_what_http_demands_gets_a_problem() {
    let running = serve(models(), Server::default()).await;
    for (status, head) in [
        (400, "GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n"),
        (400, "GET /health/live HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n"),
        (
            417,
            "POST /v1/predict HTTP/1.1\r\nhost: x\r\nexpect: magic\r\n\
             connection: close\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let answer = ask(running.address, head.as_bytes()).await;
        let (head, problem) = problem(&answer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(problem["status"], status);
    }
    let old = "GET /health/live HTTP/1.0\r\n\r\n";
    assert!(ask(running.address, old.as_bytes()).await.contains(" 200 "));
}
