//! The settings as typed structs, one per section of the file, with their defaults.
//!
//! Field names are the keys of the file. [`super::SETTINGS`] adds the environment variables and the
//! checks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::{self, TrialPolicy};
use crate::model::held_file::WeightStorage;

/// Every setting of the service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listening address and limits.
    pub server: Server,
    /// The models to serve.
    pub models: Models,
    /// Inference.
    pub engine: Engine,
    /// Logging.
    pub log: Log,
}

/// `[server]`: the listening address and the limits that protect the service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Address and port of health and metrics alone; when absent, they are served on `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Maximum size of a request body, in bytes.
    pub body_bytes: usize,
    /// Maximum size of a decoded image, width × height in pixels.
    pub max_pixels: u64,
    /// Maximum number of requests queued or processed; further ones are refused.
    pub queue: usize,
    /// Maximum number of requests processed concurrently, of small, large and long ones each; the
    /// rest of the queue waits.
    pub workers: usize,
    /// Maximum memory of all requests together, in bytes; when absent, what the container or the
    /// machine has, less what the models take.
    pub memory_budget: Option<usize>,
    /// Maximum number of open connections; for further ones, idle connections are closed.
    pub connections: usize,
    /// Time limit for receiving the head of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a connection may be idle between two requests, in milliseconds.
    pub keep_alive_ms: u64,
    /// Time limit for receiving the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// The slowest average rate at which a body may arrive, in bytes per second.
    pub min_body_rate: u64,
    /// Time limit for a whole request, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long a client may take no part of a response, in milliseconds.
    pub send_timeout_ms: u64,
    /// The slowest pace at which a client may take a response, in bytes per second.
    pub send_bytes_per_s: u64,
    /// How long a shutdown still accepts requests after readiness has fallen, in milliseconds.
    pub shutdown_delay_ms: u64,
    /// How long a shutdown waits for running requests before it cancels them, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Whether clients may load, unload and reload models.
    pub admin: bool,
    /// Web origins whose pages may call the service; `*` allows all.
    pub cors_origins: Vec<String>,
    /// A file of API keys, one of which a request needs; when absent, requests need none.
    pub api_keys: Option<PathBuf>,
    /// Another name of the default model, for callers that choose the name themselves.
    pub model_name: Option<String>,
    /// Vertex AI's paths, which only its environment variables set.
    #[serde(skip)]
    pub vertex: VertexRoutes,
}

/// The paths that Vertex AI names in the environment of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VertexRoutes {
    /// `AIP_HEALTH_ROUTE`.
    pub health_route: Option<String>,
    /// `AIP_PREDICT_ROUTE`.
    pub predict_route: Option<String>,
}

/// `[models]`: the models to serve.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The folder that contains one subfolder per model.
    pub folder: PathBuf,
    /// The id of the default model; when absent, the engine chooses one.
    pub default: Option<String>,
}

/// `[engine]`: ONNX Runtime and camlens's own kernels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// ONNX Runtime's shared library; when absent, the one next to the binary or the one that
    /// `make setup` installs.
    pub runtime: Option<PathBuf>,
    /// Number of compute threads; when absent, as many as the machine or its container allows.
    pub threads: Option<usize>,
    /// Where the weights of models are while they are served: in the pages of the files, or in
    /// memory of the process.
    pub weights: WeightStorage,
    /// Which models are loaded in a child process first.
    pub trial: TrialPolicy,
    /// Masked images per pass.
    pub batch: usize,
    /// Passes that may run at once with all threads, whatever their models.
    pub parallel: usize,
    /// Passes of small models that may run side by side when several requests are in work; when
    /// absent, one for each compute thread, at most 4.
    pub side_by_side: Option<usize>,
    /// Sessions that each model keeps ready for layers other than its default one.
    pub layer_sessions: usize,
    /// Whether camlens's own kernels replace slower ones of the runtime.
    pub fast_kernels: bool,
    /// Whether those kernels skip the parts of an image that are zero.
    pub skip_zeros: bool,
    /// Size of the cache of inference results, in bytes; 0 disables it.
    pub cache_bytes: usize,
}

/// `[log]`: what is logged, and in which format.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
    /// The minimum level: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
    /// `info,camlens=debug`.
    pub level: String,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Plain text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            body_bytes: 32 << 20,
            max_pixels: 50_000_000,
            queue: 32,
            workers: 4,
            memory_budget: None,
            connections: 1024,
            header_timeout_ms: 10_000,
            keep_alive_ms: 75_000,
            body_timeout_ms: 30_000,
            min_body_rate: 4096,
            request_timeout_ms: 300_000,
            send_timeout_ms: 30_000,
            send_bytes_per_s: 4096,
            shutdown_delay_ms: 0,
            drain_timeout_ms: 7000,
            admin: false,
            cors_origins: Vec::new(),
            api_keys: None,
            model_name: None,
            vertex: VertexRoutes::default(),
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
            weights,
            batch,
            parallel,
            fast_kernels,
            skip_zeros,
            layer_sessions,
            cache_bytes,
            ..
        } = engine::Settings::default();
        Self {
            runtime,
            threads,
            weights,
            trial: TrialPolicy::Unpinned,
            batch,
            parallel,
            side_by_side: None,
            fast_kernels,
            skip_zeros,
            layer_sessions,
            cache_bytes,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl Server {
    /// [`Self::request_timeout_ms`] as a duration.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

impl From<Engine> for engine::Settings {
    fn from(engine: Engine) -> Self {
        let Engine {
            runtime,
            threads,
            weights,
            trial,
            batch,
            parallel,
            side_by_side,
            fast_kernels,
            skip_zeros,
            layer_sessions,
            cache_bytes,
        } = engine;
        Self {
            runtime,
            threads,
            weights,
            trial,
            batch,
            parallel,
            side_by_side,
            fast_kernels,
            skip_zeros,
            layer_sessions,
            cache_bytes,
            ..Self::default()
        }
    }
}
