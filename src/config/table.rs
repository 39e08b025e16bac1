//! Every setting once: its key in the file, its variable, how it is set and what it may be.

use std::path::{Path, PathBuf};

use super::{Config, LogFormat};

/// One setting.
pub struct Setting {
    /// Section and key in the file.
    pub key: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// Sets it from a variable's text, or says what it takes: "must be …".
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Says what it must be, when it isn't.
    pub(super) check: fn(&Config) -> Result<(), String>,
}

/// Variables that are no settings but ours: the file itself, and what tests of the page take.
const OTHERS: [&str; 3] = ["CAMLENS_CONFIG", "CAMLENS_IMAGE", "CAMLENS_URL"];

/// A variable that somebody else may set for us.
pub(super) fn is_foreign(name: &str) -> bool {
    // Kubernetes tells every pod where each service is: for a service called `camlens` it sets
    // CAMLENS_SERVICE_HOST, CAMLENS_PORT, CAMLENS_PORT_8080_TCP_ADDR and more.
    OTHERS.contains(&name)
        || name == "CAMLENS_PORT"
        || name.starts_with("CAMLENS_PORT_")
        || name.starts_with("CAMLENS_SERVICE_")
}

/// The sentence that lists every variable.
pub(super) fn variables() -> String {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.variable).collect();
    format!("there are {}", names.join(", "))
}

/// What makes one setting of its names, its place in [`Config`] and its two functions.
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
    setting!(server.queue, "CAMLENS_QUEUE", number, countable),
    setting!(server.workers, "CAMLENS_WORKERS", number, countable),
    setting!(server.connections, "CAMLENS_CONNECTIONS", number, countable),
    setting!(server.header_timeout_ms, "CAMLENS_HEADER_TIMEOUT_MS", number, timeout),
    setting!(server.body_timeout_ms, "CAMLENS_BODY_TIMEOUT_MS", number, timeout),
    setting!(server.request_timeout_ms, "CAMLENS_REQUEST_TIMEOUT_MS", number, timeout),
    setting!(server.drain_timeout_ms, "CAMLENS_DRAIN_TIMEOUT_MS", number, any),
    setting!(server.cors_origins, "CAMLENS_CORS_ORIGINS", list, origins),
    setting!(models.folder, "CAMLENS_MODELS", path, not_empty_path),
    setting!(models.default, "CAMLENS_DEFAULT_MODEL", optional_text, any),
    setting!(engine.runtime, "CAMLENS_RUNTIME", optional_path, any),
    setting!(engine.threads, "CAMLENS_THREADS", optional_number, positive_if_any),
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

/// A variable that is set and empty takes back what the file said.
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

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("must be {what}")) }
}

fn positive<T: PartialOrd + From<u8>>(value: &T) -> Result<(), String> {
    must(*value >= T::from(1), "at least 1")
}

fn positive_if_any(value: &Option<usize>) -> Result<(), String> {
    value.as_ref().map_or(Ok(()), positive)
}

/// What a semaphore can count.
fn countable(value: &usize) -> Result<(), String> {
    must((1..=100_000).contains(value), "from 1 to 100000")
}

/// A day is more than any request needs, and far from what clocks cannot add.
fn timeout(value: &u64) -> Result<(), String> {
    must((1..=86_400_000).contains(value), "from 1 to 86400000")
}

fn not_empty_path(value: &Path) -> Result<(), String> {
    must(!value.as_os_str().is_empty(), "a folder")
}

fn origins(value: &[String]) -> Result<(), String> {
    let is_origin = |origin: &String| {
        let address = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin == "*"
            || address.is_some_and(|address| !address.is_empty() && !address.contains('/'))
    };
    must(value.iter().all(is_origin), "origins such as https://example.org, without a path, or *")
}

fn level(value: &str) -> Result<(), String> {
    must(
        tracing_subscriber::EnvFilter::try_new(value).is_ok() && !value.trim().is_empty(),
        "error, warn, info, debug, trace or a filter such as info,camlens=debug",
    )
}
