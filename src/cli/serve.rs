//! `camlens serve`: the service, until a signal ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;

use super::Source;
use super::health::reachable;
use super::kserve_flags::KserveFlags;
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
        crate::telemetry::start(&config.log);
        serve(config, &|address, model| print_addresses(reachable(address), model))
    }
}

#[expect(clippy::print_stdout, reason = "a command writes to its terminal")]
fn print_addresses(address: SocketAddr, model: &str) {
    let image = if Path::new(DEMO_IMAGE).is_file() { DEMO_IMAGE } else { "photo.jpg" };
    println!("camlens is at http://{address}/ and its API at http://{address}/docs");
    println!(
        "Try: curl -fsS -F image=@{image} 'http://{address}/v1/explain?model={model}' -o heatmap.png"
    );
    // Standard output is block-buffered unless it is a terminal.
    let _ = std::io::stdout().flush();
}
