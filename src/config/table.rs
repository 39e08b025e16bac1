//! The table of settings: for each its key, environment variable, parser and check.
//!
//! To add a setting, add a field to its section, a row here and a documented line to
//! `config/default.toml`; tests compare the three.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::sections::{Config, LogFormat};
use crate::engine::TrialPolicy;
use crate::model::held_file::WeightStorage;

/// The outcome of a check; the error is a predicate: "must be …".
type Check = Result<(), String>;

/// The longest time limit, in milliseconds: more than any request needs, and far from overflowing
/// an `Instant`.
const DAY_MS: u64 = 86_400_000;

/// Less memory than this can't hold the smallest request with its workspace.
const MIN_BUDGET: usize = 16 << 20;

/// One setting.
pub struct Setting {
    /// Section and key in the file, such as `server.queue`.
    pub key: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// Parses the variable's text into the setting. The error is a predicate: "must be …".
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Checks the setting's value, whatever its source. The error is a predicate: "must be …".
    pub(super) check: fn(&Config) -> Result<(), String>,
}

/// Variables of camlens that are not settings: the path of the settings file, and two that the
/// browser tests read.
const RESERVED: [&str; 3] = ["CAMLENS_CONFIG", "CAMLENS_IMAGE", "CAMLENS_URL"];

/// Whether a variable with the prefix `CAMLENS_` is legitimate without being a setting.
pub(super) fn is_foreign(name: &str) -> bool {
    // Kubernetes announces every service to every pod: for a service called `camlens` it sets
    // CAMLENS_SERVICE_HOST, CAMLENS_PORT, CAMLENS_PORT_8080_TCP_ADDR and more.
    RESERVED.contains(&name)
        || name == "CAMLENS_PORT"
        || name.starts_with("CAMLENS_PORT_")
        || name.starts_with("CAMLENS_SERVICE_")
}

/// The names of all variables, comma-separated.
pub(super) fn variable_names() -> String {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.variable).collect();
    names.join(", ")
}

/// Builds a [`Setting`] from its section and key, variable, parser and check.
macro_rules! setting {
    ($section:ident . $key:ident, $variable:literal, $parse:expr, $check:expr) => {
        Setting {
            key: concat!(stringify!($section), ".", stringify!($key)),
            variable: $variable,
            set: |config, text| {
                config.$section.$key = $parse(text)?;
                Ok(())
            },
            check: |config| $check(&config.$section.$key),
        }
    };
}

/// Every setting, in the order of `config/default.toml`.
pub const SETTINGS: &[Setting] = &[
    setting!(server.listen, "CAMLENS_LISTEN", address, any),
    setting!(server.admin_listen, "CAMLENS_ADMIN_LISTEN", optional_address, any),
    setting!(server.body_bytes, "CAMLENS_BODY_BYTES", number, within(1..=4 << 30)),
    setting!(server.max_pixels, "CAMLENS_MAX_PIXELS", number, within(1..=1_000_000_000)),
    setting!(server.queue, "CAMLENS_QUEUE", number, within(1..=100_000)),
    // Each worker is a thread, and tokio starts at most 512 that may block.
    setting!(server.workers, "CAMLENS_WORKERS", number, within(1..=256)),
    setting!(
        server.memory_budget,
        "CAMLENS_MEMORY_BUDGET",
        optional_number,
        if_set(within(MIN_BUDGET..=1 << 50))
    ),
    setting!(server.connections, "CAMLENS_CONNECTIONS", number, within(1..=100_000)),
    setting!(server.header_timeout_ms, "CAMLENS_HEADER_TIMEOUT_MS", number, within(1..=DAY_MS)),
    setting!(server.keep_alive_ms, "CAMLENS_KEEP_ALIVE_MS", number, within(1..=DAY_MS)),
    setting!(server.body_timeout_ms, "CAMLENS_BODY_TIMEOUT_MS", number, within(1..=DAY_MS)),
    setting!(server.min_body_rate, "CAMLENS_MIN_BODY_RATE", number, within(0..=1_000_000)),
    setting!(server.request_timeout_ms, "CAMLENS_REQUEST_TIMEOUT_MS", number, within(1..=DAY_MS)),
    setting!(server.send_timeout_ms, "CAMLENS_SEND_TIMEOUT_MS", number, within(1..=DAY_MS)),
    setting!(server.send_bytes_per_s, "CAMLENS_SEND_BYTES_PER_S", number, within(1..=1_000_000)),
    setting!(server.shutdown_delay_ms, "CAMLENS_SHUTDOWN_DELAY_MS", number, within(0..=DAY_MS)),
    setting!(server.drain_timeout_ms, "CAMLENS_DRAIN_TIMEOUT_MS", number, within(0..=DAY_MS)),
    setting!(server.admin, "CAMLENS_ADMIN", flag, any),
    setting!(server.cors_origins, "CAMLENS_CORS_ORIGINS", list, origins),
    setting!(server.api_keys, "CAMLENS_API_KEYS", named_path, any),
    setting!(server.model_name, "CAMLENS_MODEL_NAME", optional_text, model_name),
    setting!(models.folder, "CAMLENS_MODELS", path, not_empty_path),
    setting!(models.default, "CAMLENS_DEFAULT_MODEL", optional_text, any),
    setting!(engine.runtime, "CAMLENS_RUNTIME", optional_path, any),
    setting!(engine.threads, "CAMLENS_THREADS", optional_number, if_set(within(1..=1024))),
    setting!(engine.weights, "CAMLENS_WEIGHTS", weight_storage, any),
    setting!(engine.trial, "CAMLENS_TRIAL", trial_policy, any),
    setting!(engine.batch, "CAMLENS_BATCH", number, within(1..=1024)),
    // Each pass has all compute threads, so more than a few at once never help.
    setting!(engine.parallel, "CAMLENS_PARALLEL", number, within(1..=64)),
    setting!(engine.side_by_side, "CAMLENS_SIDE_BY_SIDE", optional_number, if_set(within(1..=64))),
    setting!(engine.fast_kernels, "CAMLENS_FAST_KERNELS", flag, any),
    setting!(engine.skip_zeros, "CAMLENS_SKIP_ZEROS", flag, any),
    setting!(engine.layer_sessions, "CAMLENS_LAYER_SESSIONS", number, within(0..=256)),
    setting!(engine.cache_bytes, "CAMLENS_CACHE_BYTES", number, within(0..=1 << 40)),
    setting!(log.format, "CAMLENS_LOG_FORMAT", log_format, any),
    setting!(log.level, "CAMLENS_LOG_LEVEL", text, level),
];

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "must be a whole number".to_owned())
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned()
    })
}

/// An empty variable unsets the value that the file gave.
fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn optional_text(value: &str) -> Result<Option<String>, String> {
    optional(value, text)
}

fn optional_path(value: &str) -> Result<Option<PathBuf>, String> {
    optional(value, path)
}

/// A path that, once given, must not be empty: a service whose keys are not found must not start
/// without keys.
fn named_path(value: &str) -> Result<Option<PathBuf>, String> {
    if value.is_empty() { Err("must be a file".to_owned()) } else { path(value).map(Some) }
}

fn optional_address(value: &str) -> Result<Option<std::net::SocketAddr>, String> {
    optional(value, address)
}

fn optional_number(value: &str) -> Result<Option<usize>, String> {
    optional(value, number)
}

fn list(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

fn weight_storage(text: &str) -> Result<WeightStorage, String> {
    match text {
        "map" => Ok(WeightStorage::Map),
        "copy" => Ok(WeightStorage::Copy),
        _ => Err("must be map or copy".to_owned()),
    }
}

fn trial_policy(text: &str) -> Result<TrialPolicy, String> {
    match text {
        "unpinned" => Ok(TrialPolicy::Unpinned),
        "always" => Ok(TrialPolicy::Always),
        "never" => Ok(TrialPolicy::Never),
        _ => Err("must be unpinned, always or never".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

fn must_be(expected: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("must be {expected}")) }
}

/// A number in a range. Every number has one: far beyond what is useful, and below what would
/// freeze the machine or overflow.
fn within<T: PartialOrd + fmt::Display>(range: RangeInclusive<T>) -> impl Fn(&T) -> Check {
    move |value| {
        must_be(&format!("from {} to {}", range.start(), range.end()), range.contains(value))
    }
}

fn if_set<T>(check: impl Fn(&T) -> Check) -> impl Fn(&Option<T>) -> Check {
    move |value| value.as_ref().map_or(Ok(()), &check)
}

fn not_empty_path(value: &Path) -> Result<(), String> {
    must_be("a folder", !value.as_os_str().is_empty())
}

fn origins(value: &[String]) -> Result<(), String> {
    let is_origin = |origin: &String| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin == "*"
            || authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('/'))
    };
    must_be(
        "origins such as https://example.org, without a path, or *",
        value.iter().all(is_origin),
    )
}

/// What KServe's gateways let through as a model's name.
fn model_name(value: &Option<String>) -> Result<(), String> {
    let is_valid = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    must_be("a name of letters, digits, _ and -", value.as_ref().is_none_or(is_valid))
}

fn level(value: &str) -> Result<(), String> {
    // `EnvFilter` takes a word that is no level for the name of a module, and logs nothing else.
    let is_known = |word: &str| word.contains(['=', '[']) || word.parse::<LevelFilter>().is_ok();
    must_be(
        "error, warn, info, debug, trace, off or a filter such as info,camlens=debug",
        EnvFilter::try_new(value).is_ok()
            && value.split(',').map(str::trim).all(|word| is_known(word) && !word.is_empty()),
    )
}
