//! Accepts connections, limits their number and duration, and shuts them down in order.
//!
//! `axum::serve` waits forever for a request's head, and a shutdown waits with it. Here a
//! connection that does not send a head in time is closed, and a shutdown has three steps:
//! 1. No new request is admitted (503, and `/health/ready` says so); work in progress goes on.
//! 2. After the drain timeout, work in progress is stopped and gets a 503.
//! 3. Connections get a moment to deliver their responses. Then they are closed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::ServiceExt;

use super::router::router;
use super::state::AppState;

/// The time to deliver responses after all work has stopped.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a failed `accept`, most likely because the process is out of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves and the work in progress has ended.
pub async fn serve(listener: TcpListener, state: Arc<AppState>, stop: impl Future<Output = ()>) {
    let connections = Connections::new(&state);
    let admission = Arc::clone(state.admission());
    let drain_timeout = Duration::from_millis(state.server.drain_timeout_ms);

    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = stop => {}
    }
    tracing::info!(queued = admission.queued(), "shutting down");
    admission.drain();
    // Clients that connect meanwhile get a 503 instead of a closed port.
    let stopped = async {
        if tokio::time::timeout(drain_timeout, admission.idle()).await.is_err() {
            tracing::warn!(queued = admission.queued(), "stopping work in progress");
            admission.stop_all();
        }
    };
    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = stopped => {}
    }
    drop(listener);
    if tokio::time::timeout(DELIVERY_TIMEOUT, connections.open.shutdown()).await.is_err() {
        tracing::warn!("closing connections with undelivered responses");
    }
    tracing::info!("shut down");
}

struct Connections {
    router: Router,
    limit: Arc<Semaphore>,
    header_timeout: Duration,
    open: GracefulShutdown,
}

impl Connections {
    fn new(state: &Arc<AppState>) -> Self {
        Self {
            router: router(Arc::clone(state)),
            limit: Arc::new(Semaphore::new(state.server.connections)),
            header_timeout: Duration::from_millis(state.server.header_timeout_ms),
            open: GracefulShutdown::new(),
        }
    }

    async fn accept_all(&self, listener: &TcpListener) {
        loop {
            // Before accepting: connections over the limit wait in the kernel's queue.
            let Ok(permit) = Arc::clone(&self.limit).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            let (router, watcher) = (self.router.clone(), self.open.watcher());
            let header_timeout = self.header_timeout;
            tokio::spawn(async move {
                serve_connection(stream, router, header_timeout, watcher).await;
                drop(permit);
            });
        }
    }
}

/// Serves one connection until it ends.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    watcher: Watcher,
) {
    // Responses are written whole: waiting for more to send would only add latency.
    let _ = stream.set_nodelay(true);
    let has_request = Arc::new(AtomicBool::new(false));
    let has_request_head = Arc::clone(&has_request);
    let service = service_fn(move |request: Request<Incoming>| {
        has_request_head.store(true, Ordering::Relaxed);
        let router = router.clone();
        async move { router.oneshot(request.map(axum::body::Body::new)).await }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(watcher.watch(connection));
    // hyper's own timer starts only once it knows the version of HTTP. A client that sends nothing,
    // or half of HTTP/2's preface, would never time out.
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(header_timeout) => {}
    }
    if has_request.load(Ordering::Relaxed) {
        // An error here is the client's: it disconnected, or it does not speak HTTP.
        let _ = connection.await;
    }
}
