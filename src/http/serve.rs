//! Runs the service until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::listener;
use super::middleware::keys::ApiKeys;
use super::reload::reload;
use super::state::AppState;
use crate::config::Config;
use crate::engine::ModelRegistry;
use crate::error::{Error, Kind, Result};

/// Threads of work that does not stop in time are abandoned after this.
const ABANDON_AFTER: Duration = Duration::from_millis(500);

/// Serves until the first signal, and then until the work in progress has ended.
///
/// `on_listening` is called once, with the address and the id of the default model, when the port
/// is open. Models load while the service already listens; it is not ready until then.
///
/// # Errors
/// [`Kind::Setup`]: no runtime, no models, an address that is taken.
pub fn serve(config: Config, on_listening: &dyn Fn(SocketAddr, &str)) -> Result<()> {
    let runtime = runtime(&mut Builder::new_multi_thread())?;
    let outcome = runtime.block_on(run(config, on_listening));
    runtime.shutdown_timeout(ABANDON_AFTER);
    outcome
}

fn runtime(builder: &mut Builder) -> Result<Runtime> {
    let built = builder.enable_all().build();
    built.map_err(|error| Error::internal("starting the network threads", error))
}

async fn run(config: Config, on_listening: &dyn Fn(SocketAddr, &str)) -> Result<()> {
    let Config { server, models, engine, .. } = config;
    let mut signals = Signals::new()?;
    let listener = bind("server.listen", server.listen).await?;
    let admin = match server.admin_listen {
        Some(address) => Some(bind("server.admin_listen", address).await?),
        None => None,
    };
    let keys = server.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    let models = ModelRegistry::start(&models.folder, models.default.as_deref(), &engine.into())?;
    on_listening(listener.local_addr().unwrap_or(server.listen), models.default_id());
    let state = AppState::with_keys(models, server, keys);
    // Dropped at the end, which ends the admin port.
    let _admin = admin.map(|listener| start_admin(listener, &state)).transpose()?;
    let (count, counted) = watch::channel(0);
    let handled = Arc::clone(&state);
    tokio::spawn(async move { signals.handle(&handled, &count).await });
    listener::serve(listener, state, nth(counted.clone(), 1), nth(counted, 2)).await;
    Ok(())
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    let setup = |error| Error::new(Kind::Setup, format!("{setting}: {address}: {error}"));
    TcpListener::bind(address).await.map_err(setup)
}

/// Serves the admin port from a thread and a runtime of its own, which requests can't keep busy.
fn start_admin(listener: TcpListener, state: &Arc<AppState>) -> Result<oneshot::Sender<()>> {
    let failed = |error: std::io::Error| Error::internal("starting the admin port", error);
    let (stop, stopped) = oneshot::channel();
    let (runtime, state) = (runtime(&mut Builder::new_current_thread())?, Arc::clone(state));
    // A socket belongs to the runtime that it is registered with.
    let listener = listener.into_std().map_err(failed)?;
    let serve = async move {
        match TcpListener::from_std(listener) {
            Ok(listener) => tokio::select! {
                () = listener::serve_admin(listener, state) => {}
                _ = stopped => {}
            },
            Err(error) => tracing::error!(%error, "the admin port can't be served"),
        }
    };
    let thread = std::thread::Builder::new().name("admin".into());
    thread.spawn(move || runtime.block_on(serve)).map_err(failed)?;
    Ok(stop)
}

/// Resolves at the `n`th signal that ends the service.
async fn nth(mut count: watch::Receiver<usize>, n: usize) {
    // Fails only if the sender is gone, and with it the service.
    let _ = count.wait_for(|count| *count >= n).await;
}

/// Ctrl-C on a terminal or SIGTERM from a process manager end the service: the first in order, the
/// second without waiting for work in progress. SIGHUP reloads the models.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Error::internal("listening for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Handles signals for as long as it is polled. `count` counts those that end the service.
    async fn handle(&mut self, state: &AppState, count: &watch::Sender<usize>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => count.send_modify(|count| *count += 1),
                _ = self.terminate.recv() => count.send_modify(|count| *count += 1),
                _ = self.hangup.recv() => reload(state),
            }
        }
    }
}
