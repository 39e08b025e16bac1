//! The table of settings: for each its key, environment variable, parser and check.
//!
//! To add a setting, add a field to its section, a row here and a documented line to
//! `config/default.toml`; tests compare the three.

use std::path::{Path, PathBuf};

use super::sections::{Config, LogFormat};

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
    setting!(server.body_bytes, "CAMLENS_BODY_BYTES", number, positive),
    setting!(server.max_pixels, "CAMLENS_MAX_PIXELS", number, positive),
    setting!(server.queue, "CAMLENS_QUEUE", number, permits),
    setting!(server.workers, "CAMLENS_WORKERS", number, permits),
    setting!(server.connections, "CAMLENS_CONNECTIONS", number, permits),
    setting!(server.header_timeout_ms, "CAMLENS_HEADER_TIMEOUT_MS", number, timeout),
    setting!(server.body_timeout_ms, "CAMLENS_BODY_TIMEOUT_MS", number, timeout),
    setting!(server.request_timeout_ms, "CAMLENS_REQUEST_TIMEOUT_MS", number, timeout),
    setting!(server.drain_timeout_ms, "CAMLENS_DRAIN_TIMEOUT_MS", number, any),
    setting!(server.cors_origins, "CAMLENS_CORS_ORIGINS", list, origins),
    setting!(server.api_keys, "CAMLENS_API_KEYS", optional_path, any),
    setting!(server.model_name, "CAMLENS_MODEL_NAME", optional_text, model_name),
    setting!(models.folder, "CAMLENS_MODELS", path, not_empty_path),
    setting!(models.default, "CAMLENS_DEFAULT_MODEL", optional_text, any),
    setting!(engine.runtime, "CAMLENS_RUNTIME", optional_path, any),
    setting!(engine.threads, "CAMLENS_THREADS", optional_number, positive_if_set),
    setting!(engine.batch, "CAMLENS_BATCH", number, positive),
    setting!(engine.fast_kernels, "CAMLENS_FAST_KERNELS", flag, any),
    setting!(engine.skip_zeros, "CAMLENS_SKIP_ZEROS", flag, any),
    setting!(engine.layer_sessions, "CAMLENS_LAYER_SESSIONS", number, any),
    setting!(engine.cache_bytes, "CAMLENS_CACHE_BYTES", number, any),
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

fn optional_number(value: &str) -> Result<Option<usize>, String> {
    optional(value, number)
}

fn list(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
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

fn positive<T: PartialOrd + From<u8>>(value: &T) -> Result<(), String> {
    must_be("at least 1", *value >= T::from(1))
}

fn positive_if_set(value: &Option<usize>) -> Result<(), String> {
    value.as_ref().map_or(Ok(()), positive)
}

/// A number of semaphore permits.
fn permits(value: &usize) -> Result<(), String> {
    must_be("from 1 to 100000", (1..=100_000).contains(value))
}

/// A time limit in milliseconds. One day is more than any request needs, and far from overflowing
/// an `Instant`.
fn timeout(value: &u64) -> Result<(), String> {
    must_be("from 1 to 86400000", (1..=86_400_000).contains(value))
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
    must_be(
        "error, warn, info, debug, trace or a filter such as info,camlens=debug",
        tracing_subscriber::EnvFilter::try_new(value).is_ok() && !value.trim().is_empty(),
    )
}
