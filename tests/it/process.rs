//! The service as a process: where its output goes, and which signals it gets.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{camlens, workplace};

/// A service that runs. It is killed if its test ends first.
struct Service {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nothing listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Service {
    fn start(configure: impl FnOnce(&mut Command)) -> Self {
        Self::start_in(workplace(), configure)
    }

    fn start_in(folder: tempfile::TempDir, configure: impl FnOnce(&mut Command)) -> Self {
        let address = free_address();
        let mut command = camlens(folder.path());
        command.args(["serve", "--listen", &address.to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        configure(&mut command);
        let child = command.spawn().unwrap();
        // The command holds the test's ends of pipes, which must close for the service.
        drop(command);
        let service = Self { child, address, folder };
        let started = Instant::now();
        while !matches!(service.try_get("/health/ready"), Ok(answer) if answer.contains(" 200 ")) {
            assert!(started.elapsed() < Duration::from_secs(30), "not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// The response to a GET request, within a few seconds.
    fn try_get(&self, path: &str) -> std::io::Result<String> {
        get(self.address, path)
    }

    fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for the end of the process.
    fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "the service does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the metrics say that this many log lines were dropped.
    fn until_dropped(&self, lines: u64) {
        let started = Instant::now();
        while metric(&self.get("/metrics"), "camlens_log_lines_dropped_total") < lines {
            assert!(started.elapsed() < Duration::from_secs(10), "fewer than {lines} lines");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Many requests over one connection, each a line in the log.
    fn fill_the_log(&self, requests: usize) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(400));
        let mut buffer = vec![0; 1 << 16];
        for _ in 0..requests.div_ceil(50) {
            stream.write_all(request.repeat(50).as_bytes()).unwrap();
            let mut answered = 0;
            let mut text = String::new();
            while answered < 50 {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "the connection was closed");
                text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                answered = text.matches("HTTP/1.1 404").count();
            }
        }
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The value of a metric without labels.
fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}: {text}"))[name.len() + 1..].parse().unwrap()
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_service_whose_output_is_full_or_closed_serves_and_stops() {
    for output in [full_disk, closed_pipe] {
        let mut service = Service::start(|command| {
            command.stdout(output()).stderr(output());
        });
        service.fill_the_log(100);
        assert!(service.get("/health/live").contains(r#"{"status":"ok"}"#));
        service.until_dropped(50);
        service.signal("-TERM");
        assert_eq!(service.ended().code(), Some(0));
    }
}

#[test]
fn a_service_whose_output_nobody_reads_serves_and_stops() {
    // Both ends stay open, and nothing reads.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut service = Service::start(|command| {
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
    });
    service.fill_the_log(6000);
    assert!(service.get("/health/live").contains(r#"{"status":"ok"}"#));
    service.until_dropped(100);
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
    drop(reader);
}

#[test]
fn a_log_that_is_read_again_says_how_many_lines_are_missing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut service = Service::start(|command| {
        command.env("CAMLENS_LOG_FORMAT", "json").stderr(writer);
    });
    service.fill_the_log(6000);
    let (found, missing) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if let Some(dropped) = line["dropped"].as_u64() {
                let _ = found.send(dropped);
            }
        }
    });
    let missing = missing.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(missing > 100, "{missing}");
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
    reading.join().unwrap();
}

#[test]
fn no_log_line_and_no_answer_grows_with_a_request() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut service = Service::start(|command| {
        command.stderr(writer);
    });
    let reading = std::thread::spawn(move || {
        BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>()
    });
    let long = "x".repeat(2 << 20);
    let body = format!("{{\"image\":\"\",\"method\":\"{long}\"}}");
    let mut stream = TcpStream::connect(service.address).unwrap();
    write!(
        stream,
        "POST /v1/explain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("is longer than"), "{answer}");
    assert!(answer.len() < 2000, "{}", answer.len());
    let unknown = service.get(&format!("/{}", "x".repeat(20_000)));
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
    let longest = reading.join().unwrap().iter().map(String::len).max().unwrap();
    assert!(longest < 2000, "{longest}");
}

#[test]
fn a_hangup_does_not_end_the_service() {
    let mut service = Service::start(|_| ());
    for _ in 0..3 {
        service.signal("-HUP");
    }
    assert!(service.get("/health/ready").contains(" 200 "));
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
}

#[test]
fn a_hangup_takes_in_a_new_model() {
    let service = Service::start(|_| ());
    let models = service.folder.path().join("models");
    std::fs::create_dir(models.join("newcomer")).unwrap();
    std::fs::copy(models.join("tiny/model.onnx"), models.join("newcomer/model.onnx")).unwrap();
    service.signal("-HUP");
    let started = Instant::now();
    while !service.get("/v1/models/newcomer").contains(" 200 ") {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", service.get("/v1/models"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a client posts to this address first: its head and body.
fn first_post(collector: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 1 << 14];
    loop {
        let text = String::from_utf8_lossy(&received).to_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split_once("\r\n")?.0.parse::<usize>().ok());
        let head = received.windows(4).position(|part| part == b"\r\n\r\n");
        if let (Some(length), Some(head)) = (length, head)
            && received.len() >= head + 4 + length
        {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            return received;
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection was closed: {text}");
        received.extend(&buffer[..count]);
    }
}

#[test]
fn a_request_s_trace_continues_the_client_s_and_reaches_the_collector() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let mut service = Service::start(|command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    });
    let image = std::fs::read(service.folder.path().join("cat.png")).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let head = format!(
        "POST /v1/explain?output=json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
         content-type: image/png\r\ncontent-length: {}\r\n\r\n",
        image.len()
    );
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.write_all(&[head.as_bytes(), &image].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let posted = std::thread::spawn(move || first_post(&collector));
    // The last spans are sent at the end.
    service.signal("-TERM");
    let posted = posted.join().unwrap();
    assert_eq!(service.ended().code(), Some(0));
    let has = |bytes: &[u8]| posted.windows(bytes.len()).any(|part| part == bytes);
    assert!(has(b"POST /v1/traces HTTP/1.1"));
    let id: Vec<u8> = (0..16)
        .map(|byte| u8::from_str_radix(&trace[2 * byte..2 * byte + 2], 16).unwrap())
        .collect();
    assert!(has(&id), "the client's trace");
    for text in ["POST /v1/explain", "http.response.status_code", "http.route", "service.version"] {
        assert!(has(text.as_bytes()), "{text}");
    }
    for stage in ["queue", "decode", "forward", "passes", "render"] {
        assert!(has(stage.as_bytes()), "{stage}");
    }
}

#[test]
fn an_endpoint_that_needs_tls_is_refused_at_the_start() {
    let folder = workplace();
    let output = camlens(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318")
        .output()
        .unwrap();
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && line.contains("TLS"), "{line}");
}

/// A service with a model whose Score-CAM takes long, and a request for one that has begun.
fn busy() -> (Service, std::thread::JoinHandle<String>) {
    let folder = workplace();
    let model = crate::http::enlarged("tinylite", 1024);
    std::fs::write(folder.path().join("models/tiny/model.onnx"), model).unwrap();
    let image = std::fs::read(folder.path().join("cat.png")).unwrap();
    let service = Service::start_in(folder, |_| ());
    let mut stream = TcpStream::connect(service.address).unwrap();
    let head = format!(
        "POST /v1/explain?method=scorecam HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: image/png\r\ncontent-length: {}\r\n\r\n",
        image.len()
    );
    stream.write_all(&[head.as_bytes(), &image].concat()).unwrap();
    let request = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let started = Instant::now();
    while metric(&service.get("/metrics"), "camlens_working") == 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "no work");
        std::thread::sleep(Duration::from_millis(10));
    }
    (service, request)
}

#[test]
fn a_second_signal_ends_the_work_with_a_503_and_the_process_cleanly() {
    let (mut service, request) = busy();
    service.signal("-TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(service.child.try_wait().unwrap().is_none(), "it does not wait for the work");
    let second = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
    assert!(second.elapsed() < Duration::from_secs(4), "{:?}", second.elapsed());
    let answer = request.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
}

#[test]
fn a_shutdown_with_long_work_ends_before_docker_kills() {
    let (mut service, request) = busy();
    service.signal("-TERM");
    // `ended` waits for 10 seconds.
    assert_eq!(service.ended().code(), Some(0));
    let answer = request.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_admin_port_answers_while_the_port_has_more_clients_than_places() {
    let admin = free_address();
    let mut service = Service::start(|command| {
        command.env("CAMLENS_ADMIN_LISTEN", admin.to_string()).env("CAMLENS_CONNECTIONS", "8");
    });
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(service.address).unwrap()).collect();
    let started = Instant::now();
    assert!(get(admin, "/health/live").unwrap().contains(" 200 "));
    assert!(get(admin, "/metrics").unwrap().contains("camlens_connections"));
    assert!(service.get("/health/live").contains(" 200 "));
    assert!(service.get("/metrics").contains(" 404 "));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(idle);
    // `camlens health` asks the admin port.
    let mut health = camlens(service.folder.path());
    health.arg("health").env("CAMLENS_ADMIN_LISTEN", admin.to_string());
    assert!(health.status().unwrap().success());
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(0));
}

/// Runs a command to its end.
fn run(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> ExitStatus {
    let folder = workplace();
    camlens(folder.path()).args(arguments).stdout(stdout).stderr(stderr).status().unwrap()
}

#[test]
fn a_command_ends_quietly_when_nobody_reads_and_fails_when_the_disk_is_full() {
    for arguments in [&["inspect", "tiny"][..], &["explain", "cat.png"], &["--help"]] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let status = run(arguments, closed_pipe(), writer.into());
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");

        let (mut reader, writer) = std::io::pipe().unwrap();
        let status = run(arguments, full_disk(), writer.into());
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("No space left on device") && said.lines().count() == 1, "{said}");
    }
    // Where the error itself can't be written, the exit code is still the error's.
    for stderr in [full_disk, closed_pipe] {
        assert_eq!(run(&["inspect", "none"], Stdio::null(), stderr()).code(), Some(1));
        assert_eq!(run(&["explain"], Stdio::null(), stderr()).code(), Some(2));
        let written = run(&["explain", "cat.png", "-o", "map.png"], Stdio::null(), stderr());
        assert_eq!(written.code(), Some(0));
    }
}
