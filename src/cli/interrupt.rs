//! What Ctrl-C and SIGTERM do to a command that is no service: they end it, and leave no file that
//! is written only in part.
//!
//! A thread waits for the signals, so that what it does need not be safe in a signal handler.

use std::fs::File;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: libc::c_int = 130;

/// The file that is being written.
static PART: Mutex<Option<PathBuf>> = Mutex::new(None);

fn part() -> MutexGuard<'static, Option<PathBuf>> {
    PART.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes SIGINT end the process with code 130, also for a parent that is no shell, and SIGTERM as
/// ever. Call it before there are other threads: they must not receive these signals.
pub(super) fn end_with_code() {
    let signals = signals();
    // SAFETY: the set is initialised, and resetting these signals has no preconditions. A shell
    // that starts a command in the background lets it ignore SIGINT.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, null_mut());
    }
    let wait = move || {
        let mut signal = 0;
        // SAFETY: both are initialised.
        while unsafe { libc::sigwait(&raw const signals, &raw mut signal) } != 0 {}
        end(signal, &signals);
    };
    if std::thread::Builder::new().name("interrupt".into()).spawn(wait).is_err() {
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, null_mut()) };
    }
}

fn signals() -> libc::sigset_t {
    let mut signals = std::mem::MaybeUninit::uninit();
    // SAFETY: the first call initialises the set, and the signals exist.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTERM);
        signals.assume_init()
    }
}

fn end(signal: libc::c_int, signals: &libc::sigset_t) {
    // Kept to the end, so that no other file is begun.
    let part = part();
    if let Some(path) = &*part {
        // It may have been renamed already.
        let _ = std::fs::remove_file(path);
    }
    // SAFETY: `_exit` and `raise` have no preconditions, and the set is initialised.
    unsafe {
        if signal != libc::SIGINT {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, signals, null_mut());
            libc::raise(signal);
        }
        libc::_exit(INTERRUPTED);
    }
}

/// A new file that is removed if a signal ends the process before this is dropped.
pub(super) struct PartFile;

impl PartFile {
    /// Creates the file.
    ///
    /// # Errors
    /// Those of creating it.
    pub(super) fn create(path: &Path) -> Result<(Self, File)> {
        let mut part = part();
        let file = File::create(path)?;
        *part = Some(path.to_owned());
        Ok((Self, file))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        *part() = None;
    }
}
