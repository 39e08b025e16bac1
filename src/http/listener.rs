//! Accepts connections, limits their number, and shuts them down in order.
//!
//! `connection` limits how long each may wait. When all places are taken, the connection that has
//! been idle for longest gives up its own. A shutdown has four steps:
//! 1. `/health/ready` is 503; requests are accepted as before, for the shutdown delay.
//! 2. No new request is admitted (503); work in progress goes on.
//! 3. After the drain timeout, work in progress is stopped and gets a 503.
//! 4. Connections get a moment to deliver their responses. Then they are closed.
//!
//! A second signal skips to step 3.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::connection::{Activity, ConnectionServer};
use super::router::{admin_router, router};
use super::state::AppState;

/// The time to deliver responses after all work has stopped.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a failed `accept`, most likely because the process is out of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a new connection waits for the place of another before one is looked for again.
const PLACE_RETRY_DELAY: Duration = Duration::from_millis(20);
/// Places of the admin port: for probes and scrapers, not for clients.
const ADMIN_CONNECTIONS: usize = 64;

/// Serves until `stop` resolves and the work in progress has ended, or `hurry` resolves, too.
pub async fn serve(
    listener: TcpListener,
    state: Arc<AppState>,
    stop: impl Future<Output = ()>,
    hurry: impl Future<Output = ()>,
) {
    let limit = state.server.connections;
    let connections = Connections::new(&state, router(Arc::clone(&state)), limit);
    let admission = Arc::clone(state.admission());
    let drain_timeout = Duration::from_millis(state.server.drain_timeout_ms);
    let shutdown_delay = Duration::from_millis(state.server.shutdown_delay_ms);

    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = stop => {}
    }
    tracing::info!(queued = admission.queued(), "shutting down");
    state.stop();
    let drained = async {
        sleep(shutdown_delay).await;
        admission.drain();
        let _ = timeout(drain_timeout, admission.idle()).await;
    };
    // Clients that connect meanwhile get a response instead of a closed port.
    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = drained => {}
        () = hurry => tracing::info!("a second signal: not waiting for work in progress"),
    }
    admission.drain();
    if admission.queued() > 0 {
        tracing::warn!(queued = admission.queued(), "stopping work in progress");
        admission.stop_all();
    }
    drop(listener);
    if timeout(DELIVERY_TIMEOUT, connections.close_all()).await.is_err() {
        tracing::warn!("closing connections with undelivered responses");
    }
    tracing::info!("shut down");
}

/// Serves the admin port for as long as it is polled, shutdowns included.
pub async fn serve_admin(listener: TcpListener, state: Arc<AppState>) {
    let router = admin_router(Arc::clone(&state));
    Connections::new(&state, router, ADMIN_CONNECTIONS).accept_all(&listener).await;
}

struct Connections {
    state: Arc<AppState>,
    server: ConnectionServer,
    limit: usize,
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    open: Arc<Mutex<HashMap<u64, Arc<Activity>>>>,
    next_id: AtomicU64,
}

impl Connections {
    fn new(state: &Arc<AppState>, router: Router, limit: usize) -> Self {
        let (stopping, is_stopping) = watch::channel(false);
        let memory = state.admission().budget().clone();
        Self {
            state: Arc::clone(state),
            server: ConnectionServer::new(router, &state.server, memory, is_stopping),
            limit,
            places: Arc::new(Semaphore::new(limit)),
            stopping,
            open: Arc::default(),
            next_id: AtomicU64::new(0),
        }
    }

    async fn accept_all(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Some(place) = self.place().await else { return };
                    self.spawn(stream, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    // An idle connection's file descriptor is as good as any.
                    self.shed();
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// A place for a connection, if necessary that of an idle one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return Some(place);
            }
            self.shed();
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(PLACE_RETRY_DELAY, place).await {
                return place.ok();
            }
        }
    }

    /// Asks the connection that has been idle for longest to end.
    fn shed(&self) {
        let open = lock(&self.open);
        let idle = open.values().filter_map(|activity| Some((activity.idle_since()?, activity)));
        if let Some((_, activity)) = idle.min_by_key(|(since, _)| *since) {
            activity.shed.notify_one();
        }
    }

    fn spawn(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::new());
        lock(&self.open).insert(id, Arc::clone(&activity));
        self.state.metrics.connection_began();
        let (server, open, state) =
            (self.server.clone(), Arc::clone(&self.open), Arc::clone(&self.state));
        tokio::spawn(async move {
            let ending = server.serve(stream, activity).await;
            lock(&open).remove(&id);
            state.metrics.connection_ended(ending.name());
            drop(place);
        });
    }

    /// Ends each connection after its request in progress, and waits for all.
    async fn close_all(&self) {
        self.stopping.send_replace(true);
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // Fails only for a closed semaphore, and nothing closes this one.
        let _ = self.places.acquire_many(all).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
