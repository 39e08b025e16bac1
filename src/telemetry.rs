//! Logging: text or JSON lines on standard error, filtered by the configured level.
//!
//! Standard output is left to the command's own output. Panics are logged in the same format.

mod traces;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::panics;
pub use traces::{TARGET as TRACE_TARGET, Traces};

/// Installs the process's logger and panic hook. A second call has no effect.
pub fn start(log: &Log) {
    // The settings were validated when they were loaded, so the fallback is never used.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // ANSI colours only on a terminal, not in files and pipes.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic as an ordinary event, so that a JSON log contains nothing but JSON.
///
/// One that is caught because a file is at fault is told to the person by an error about the file.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message");
    if panics::will_be_caught() {
        tracing::debug!(location, "caught a panic: {message}");
        return;
    }
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(location, %backtrace, "panic: {message}");
}
