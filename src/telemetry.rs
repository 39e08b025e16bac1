//! Logging: text or JSON lines on standard error, filtered by the configured level.
//!
//! Standard output is left to the command's own output. Panics are logged in the same format.
//! A log that can't be written never stops the service: `sink` promises that.

mod sink;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::text_limit::shortened;
pub use sink::{flush, lines_dropped};

/// Installs the process's logger and panic hook. A second call has no effect.
pub fn start(log: &Log) {
    // The settings were validated when they were loaded, so the fallback is never used.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // ANSI colours only on a terminal, not in files and pipes.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(sink::writer)
        // The subscriber would report its own errors by `eprintln!`, which panics.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic as an ordinary event, so that a JSON log contains nothing but JSON.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let message = shortened(info.payload_as_str().unwrap_or("no message"));
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(location, %backtrace, "panic: {message}");
}
