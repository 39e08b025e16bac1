//! Logging: text or JSON lines on standard error, filtered by the configured level.
//!
//! Standard output is left to the command's own output. Panics are logged in the same format.
//! A log that can't be written never stops the service: `sink` promises that.

mod sink;
mod traces;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{Log, LogFormat};
use crate::error::Result;
use crate::panics;
use crate::text::shortened;
pub use sink::{flush, lines_dropped};
pub use traces::{TARGET as TRACE_TARGET, Traces};

/// Installs the logger and panic hook of a service, and starts sending traces if the environment
/// asks for them. Keep what it returns until the last request has ended.
///
/// # Errors
/// Those of [`Traces::from_environment`].
pub fn start(log: &Log) -> Result<Option<Traces>> {
    let traces = Traces::from_environment()?;
    install(log, traces.as_ref());
    Ok(traces)
}

/// Installs the logger and panic hook of a command.
pub fn start_log(log: &Log) {
    install(log, None);
}

/// An exported span of a stage of a request; none where traces are off.
#[must_use]
pub fn stage(name: &'static str) -> tracing::Span {
    tracing::info_span!(target: TRACE_TARGET, "stage", otel.name = name)
}

/// A second call has no effect.
fn install(log: &Log, traces: Option<&Traces>) {
    // The settings were validated when they were loaded, so the fallback is never used.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer()
        // ANSI colours only on a terminal, not in files and pipes.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(sink::writer)
        // The subscriber would report its own errors by `eprintln!`, which panics.
        .log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let is_logged = filter_fn(|metadata| metadata.target() != TRACE_TARGET);
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter).with_filter(is_logged))
        .with(traces.map(Traces::layer))
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic as an ordinary event, so that a JSON log contains nothing but JSON.
///
/// One that is caught because a file is at fault is told to the person by an error about the file.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let message = shortened(info.payload_as_str().unwrap_or("no message"));
    if panics::will_be_caught() {
        tracing::debug!(location, "caught a panic: {message}");
        return;
    }
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(location, %backtrace, "panic: {message}");
}
