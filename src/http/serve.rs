//! Runs the service until a signal ends it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::listener;
use super::middleware::keys::ApiKeys;
use super::state::AppState;
use crate::config::Config;
use crate::engine::ModelRegistry;
use crate::error::{Error, Kind, Result};

/// Threads of work that does not stop in time are abandoned after this.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// Serves until the first signal, and then until the work in progress has ended.
///
/// `on_listening` is called once, with the address and the id of the default model, when the port
/// is open. Models load while the service already listens; it is not ready until then.
///
/// # Errors
/// [`Kind::Setup`]: no runtime, no models, an address that is taken.
pub fn serve(config: Config, on_listening: &dyn Fn(SocketAddr, &str)) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("starting the network threads", error))?;
    let outcome = runtime.block_on(run(config, on_listening));
    runtime.shutdown_timeout(ABANDON_AFTER);
    outcome
}

async fn run(config: Config, on_listening: &dyn Fn(SocketAddr, &str)) -> Result<()> {
    let Config { server, models, engine, .. } = config;
    let signals = Signals::new()?;
    let keys = server.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    let listener = TcpListener::bind(server.listen).await.map_err(|error| {
        Error::new(Kind::Setup, format!("server.listen: {}: {error}", server.listen))
    })?;
    let models = ModelRegistry::start(&models.folder, models.default.as_deref(), &engine.into())?;
    on_listening(listener.local_addr().unwrap_or(server.listen), models.default_id());
    listener::serve(listener, AppState::with_keys(models, server, keys), signals.first()).await;
    Ok(())
}

/// The signals that end a service: Ctrl-C on a terminal, or SIGTERM from a process manager.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Error::internal("listening for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal starts an orderly shutdown; a second one ends the process at once.
    async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }
}
