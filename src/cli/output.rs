//! What a command prints. A reader that went away ends the output quietly, as other tools for pipes
//! do; every other failure to write a result is an error.

use std::io::{ErrorKind, Write};

use crate::error::{Error, Kind, Result};

/// Writes a result to standard output.
///
/// # Errors
/// [`Kind::Setup`] if it can't be written, except that nobody reads it.
pub(super) fn result(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The outcome of a write to standard output, where a closed pipe is no error.
///
/// # Errors
/// As [`result`].
pub(super) fn written(outcome: std::io::Result<()>) -> Result<()> {
    outcome.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Error::new(Kind::Setup, format!("standard output: {error}"))),
    })
}

/// Writes a line for the person at the terminal to standard error. If it can't be written, nobody
/// can be told.
pub(super) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
