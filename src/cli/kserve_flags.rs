//! The flags with which KServe starts a container.
//!
//! KServe appends them to a container's arguments, whatever program it runs, and writes them with
//! underscores. `--model_name` and `--http_port` are obeyed. The others belong to KServe's own
//! Python server; they are accepted and have no effect.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::Config;
use crate::error::{Error, Kind, Result};

/// Flags without effect. An explainer here computes gradients, so it has the model itself and asks
/// no predictor.
const IGNORED: [&str; 22] = [
    "workers",
    "predictor_host",
    "predictor_protocol",
    "predictor_use_ssl",
    "predictor_request_timeout_seconds",
    "predictor_request_retries",
    "enable_predictor_health_check",
    "enable_grpc",
    "grpc_port",
    "grpc_max_send_message_length",
    "grpc_max_receive_message_length",
    "max_threads",
    "max_asyncio_workers",
    "enable_latency_logging",
    "enable_docs_url",
    "configure_logging",
    "log_config_file",
    "access_log_format",
    "model_dir",
    "protocol",
    "secure_grpc_server",
    "allow_origins",
];

/// KServe's flags, hidden from `--help`.
#[derive(Debug, Default)]
pub(super) struct KserveFlags {
    model_name: Option<String>,
    http_port: Option<u16>,
}

impl KserveFlags {
    /// Applies the flags to the settings.
    ///
    /// # Errors
    /// [`Kind::Option`] for a name that KServe's gateways would not let through.
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        if let Some(port) = self.http_port {
            // KServe's gateway connects from outside the container.
            config.server.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        }
        if let Some(name) = &self.model_name {
            config.server.model_name = Some(name.clone());
            config.check("server.model_name").map_err(|reason| {
                Error::new(Kind::Option, format!("--model_name {reason}, not '{name}'"))
            })?;
        }
        Ok(())
    }
}

impl Args for KserveFlags {
    fn augment_args(command: Command) -> Command {
        let hidden = |name: &'static str| Arg::new(name).long(name).hide(true);
        let command = command
            .arg(hidden("model_name"))
            .arg(hidden("http_port").value_parser(clap::value_parser!(u16).range(1..)));
        // Some are switches in some versions.
        IGNORED.into_iter().fold(command, |command, name| command.arg(hidden(name).num_args(0..=1)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KserveFlags {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        self.model_name = matches.get_one("model_name").cloned();
        self.http_port = matches.get_one("http_port").copied();
        Ok(())
    }
}
