//! `camlens serve`: the service, until a signal ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Source;
use super::health::reachable;
use crate::config::Config;
use crate::engine::ModelRegistry;
use crate::error::{Error, Kind, Result};
use crate::http::{App, server};

/// Threads of work that did not stop in time are left behind after this.
const LEAVE_AFTER: Duration = Duration::from_secs(1);
/// The picture that the set-up fetches; a line to try should work as it stands.
const DEMO_IMAGE: &str = "downloads/images/chelsea.png";

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address and port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    source: Source,
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        let mut config = self.source.load()?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        crate::telemetry::start(&config.log);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::internal("starting the threads of the network", error))?;
        let outcome = runtime.block_on(serve(config));
        runtime.shutdown_timeout(LEAVE_AFTER);
        outcome
    }
}

async fn serve(config: Config) -> Result<()> {
    let Config { server, models, engine, .. } = config;
    let signals = Signals::new()?;
    let listener = TcpListener::bind(server.listen).await.map_err(|error| {
        Error::new(Kind::Setup, format!("server.listen: {}: {error}", server.listen))
    })?;
    // The models are loaded on a thread of their own while the port is open: ready is 503 until
    // then.
    let models = ModelRegistry::start(&models.folder, models.default.as_deref(), &engine.into())?;
    let address = listener.local_addr().unwrap_or(server.listen);
    greet(reachable(address), models.default_id());
    server::serve(listener, App::new(models, server), signals.first()).await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command speaks to its terminal")]
fn greet(address: SocketAddr, model: &str) {
    let image = if Path::new(DEMO_IMAGE).is_file() { DEMO_IMAGE } else { "photo.jpg" };
    println!("camlens is at http://{address}/ and its API at http://{address}/docs");
    println!(
        "Try: curl -fsS -F image=@{image} 'http://{address}/v1/explain?model={model}' -o heatmap.png"
    );
    // A pipe is no terminal: without this the lines would wait for company.
    let _ = std::io::stdout().flush();
}

/// What ends a service: a terminal's Ctrl-C, or whoever manages the process.
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

    /// The first signal begins an orderly shutdown; a second one does not wait for it.
    async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }
}
