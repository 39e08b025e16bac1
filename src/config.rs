//! Every setting of the service, and where its value comes from.
//!
//! The order is: defaults, the file of `--config`, the environment, flags. A later
//! one wins. Nothing is guessed: a key or variable that is unknown, or a value that
//! cannot be, is an [`Error`] of one line that names it, and the service does not start.
//!
//! [`SETTINGS`] lists every setting once with its two names; `config/default.toml`
//! explains them, and a test keeps that file equal to [`Config::default`].
//! Nothing here reads the process's environment: the caller passes it in.

mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::engine;
use crate::error::{Error, Kind, Result};
pub use table::SETTINGS;

/// Every setting of the service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The port and the limits that protect it.
    pub server: Server,
    /// Which models there are.
    pub models: Models,
    /// ONNX Runtime.
    pub engine: Engine,
    /// What is logged, and how.
    pub log: Log,
}

/// `[server]`: the port and the limits that protect it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port.
    pub listen: SocketAddr,
    /// The largest request body.
    pub body_bytes: usize,
    /// The largest image, width × height, that is decoded.
    pub max_pixels: u64,
    /// Requests that are read, waiting or worked on at one time; one more is refused.
    pub queue: usize,
    /// Requests that are worked on at one time; the others of the queue wait.
    pub workers: usize,
    /// Connections at one time; one more waits to be accepted.
    pub connections: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout_ms: u64,
    /// How long a client may take to send the body of a request.
    pub body_timeout_ms: u64,
    /// How long one request may take in all.
    pub request_timeout_ms: u64,
    /// How long a shutdown waits for work in progress before it stops it.
    pub drain_timeout_ms: u64,
    /// Web origins whose pages may call the service; `*` for every one.
    pub cors_origins: Vec<String>,
}

/// `[models]`: which models there are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The folder that holds one folder a model.
    pub folder: PathBuf,
    /// The model that answers requests that name none; else the engine's choice.
    pub default: Option<String>,
}

/// `[engine]`: ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Its shared library; looked for where the set-up puts it when absent.
    pub runtime: Option<PathBuf>,
    /// Threads that compute; as many as the machine allows when absent.
    pub threads: Option<usize>,
    /// Masked images in one pass.
    pub batch: usize,
    /// Sessions for other layers than the default that a model keeps ready.
    pub layer_sessions: usize,
    /// Let camlens's own kernels compute what they compute faster than the runtime.
    pub fast_kernels: bool,
    /// Let them leave out what an image's zeros give anyway.
    pub skip_zeros: bool,
    /// Outcomes that are kept for who asks the same again; 0 keeps none.
    pub cache_bytes: usize,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// The least level: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
    /// `info,camlens=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            body_bytes: 32 << 20,
            max_pixels: 50_000_000,
            queue: 32,
            workers: 4,
            connections: 1024,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            request_timeout_ms: 300_000,
            drain_timeout_ms: 20_000,
            cors_origins: Vec::new(),
        }
    }
}

impl Default for Models {
    fn default() -> Self {
        Self { folder: PathBuf::from("models"), default: None }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let engine::Settings {
            runtime,
            threads,
            batch,
            fast_kernels,
            skip_zeros,
            layer_sessions,
            cache_bytes,
        } = engine::Settings::default();
        Self { runtime, threads, batch, fast_kernels, skip_zeros, layer_sessions, cache_bytes }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl Server {
    /// How long one request may take in all.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

impl From<Engine> for engine::Settings {
    fn from(
        Engine { runtime, threads, batch, fast_kernels, skip_zeros, layer_sessions, cache_bytes }: Engine,
    ) -> Self {
        Self { runtime, threads, batch, fast_kernels, skip_zeros, layer_sessions, cache_bytes }
    }
}

impl Config {
    /// The settings of a file (its name and text) and of an environment, over the defaults.
    ///
    /// # Errors
    /// [`Kind::Setup`] with one line that names the setting.
    pub fn load(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut config = match file {
            Some((path, text)) => {
                Self::parse(text).map_err(|what| setup(format!("{}: {what}", path.display())))?
            }
            None => Self::default(),
        };
        config.apply(environment)?;
        Ok(config)
    }

    /// The settings of a TOML text over the defaults.
    ///
    /// # Errors
    /// The sentence that names the key.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            // The parser explains itself over several lines; a start-up error has one.
            let message = error.message().replace('\n', " ");
            match error.span().and_then(|span| key_before(text, span.start)) {
                Some(key) if !message.contains(&key) => format!("line {line}: {key}: {message}"),
                _ => format!("line {line}: {message}"),
            }
        })?;
        for setting in SETTINGS {
            (setting.check)(&config).map_err(|what| format!("{} {what}", setting.key))?;
        }
        Ok(config)
    }

    fn apply(&mut self, environment: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        // Sorted, so that of several mistakes the same one is named at every start.
        let mut variables: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with("CAMLENS_")).collect();
        variables.sort();
        for (name, value) in variables {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable == name) else {
                if table::is_foreign(&name) {
                    continue;
                }
                return Err(setup(format!(
                    "{name}: there is no such setting; {}",
                    table::variables()
                )));
            };
            (setting.set)(self, &value)
                .and_then(|()| (setting.check)(self))
                .map_err(|what| setup(format!("{name} {what}, not '{value}'")))?;
        }
        Ok(())
    }
}

/// The key whose value stands at `position`.
fn key_before(text: &str, position: usize) -> Option<String> {
    let line = &text[text[..position].rfind('\n').map_or(0, |at| at + 1)..position];
    let (key, _) = line.split_once('=')?;
    Some(key.trim().to_owned())
}

fn setup(what: String) -> Error {
    Error::new(Kind::Setup, what)
}

#[cfg(test)]
mod tests;
