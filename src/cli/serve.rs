//! `camlens serve`: the service, until a signal ends it.

use std::net::SocketAddr;
use std::path::Path;

use clap::Args;

use super::health::reachable;
use super::kserve_flags::KserveFlags;
use super::{Source, output};
use crate::config::Config;
use crate::error::Result;

/// Runs the service. It calls the function with address and default model once it listens.
pub type ServeFn = fn(Config, &dyn Fn(SocketAddr, &str)) -> Result<()>;

/// The image that `make setup` fetches, so that the printed command works as it is.
const DEMO_IMAGE: &str = "downloads/images/chelsea.png";

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address and port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    kserve: KserveFlags,
}

impl Serve {
    /// The settings, with the flags of this command.
    pub(super) fn config(&self) -> Result<Config> {
        let mut config = self.source.load()?;
        self.kserve.apply(&mut config)?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        Ok(config)
    }

    pub(super) fn run(&self, serve: ServeFn) -> Result<()> {
        let config = self.config()?;
        // Dropped at the end, which sends the last spans.
        let _traces = crate::telemetry::start(&config.log)?;
        serve(config, &|address, model| print_addresses(reachable(address), model))
    }
}

/// Prints where the service is and a line to try it, from a thread of its own: the service does not
/// depend on whether anybody reads its standard output.
fn print_addresses(address: SocketAddr, model: &str) {
    let image = if Path::new(DEMO_IMAGE).is_file() { DEMO_IMAGE } else { "photo.jpg" };
    let lines = format!(
        "camlens is at http://{address}/ and its API at http://{address}/docs\n\
         Try: curl -fsS -F image=@{image} 'http://{address}/v1/explain?model={model}' \
         -o heatmap.png\n"
    );
    let print = move || {
        let _ = output::result(lines.as_bytes());
    };
    // Without a thread there are no lines, and the service goes on.
    let _ = std::thread::Builder::new().name("greeting".into()).spawn(print);
}
