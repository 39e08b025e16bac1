//! Loads a new model in a child process first.
//!
//! A model file is a program of unknown origin for a large library. One that ends the process,
//! takes all of its memory or never comes to an end would take the healthy models with it. So the
//! same binary loads the model once in a process of its own, with limits. If that process dies, the
//! model is listed as failed, and the service lives. An error that the child reports in an orderly
//! way is found again, with its details, when the service loads the model itself.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::settings::{Settings, TrialPolicy};
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::held_file::WeightStorage;

/// The hidden command of the binary that loads one model and ends.
pub const COMMAND: &str = "try-load";

/// The exit code for a model that was refused in an orderly way.
const REFUSED: i32 = 1;
/// How much of the end of a child's messages is logged.
const MESSAGE_BYTES: usize = 2048;

/// Whether a model is tried before it is loaded: one whose file is pinned by its SHA-256 is known
/// to its owner.
pub(super) fn is_needed(folder: &ModelFolder, policy: TrialPolicy) -> bool {
    match policy {
        TrialPolicy::Always => true,
        TrialPolicy::Unpinned => folder.manifest.sha256.is_none(),
        TrialPolicy::Never => false,
    }
}

/// How a trial ended that says nothing against the model yet.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The model may be loaded.
    Passed,
    /// It was ended before its time.
    GaveWay,
    /// The system killed it, perhaps because memory ran out; the error if that was its own fault.
    Killed(Error),
}

/// Loads the model in a folder in a child process. `gives_way` is asked again and again, with the
/// time that has passed, whether to end it.
///
/// # Errors
/// [`Kind::Setup`] when the child dies or takes too long.
pub(super) fn run(
    folder: &Path,
    settings: &Settings,
    gives_way: &dyn Fn(Duration) -> bool,
) -> Result<Outcome> {
    let started = Instant::now();
    let program = settings.trial_program.clone().map_or_else(std::env::current_exe, Ok);
    let mut child = match program.and_then(|program| command(program, folder, settings).spawn()) {
        Ok(child) => child,
        // Not the model's fault.
        Err(error) => {
            tracing::warn!(%error, "models can't be tried in a child process");
            return Ok(Outcome::Passed);
        }
    };
    let messages = last_messages(&mut child);
    let status = match wait(&mut child, settings.trial_timeout, gives_way) {
        End::Exited(status) => Some(status),
        End::TimedOut => None,
        End::GaveWay => return Ok(Outcome::GaveWay),
    };
    let duration_ms = started.elapsed().as_secs_f64() * 1e3;
    tracing::debug!(folder = %folder.display(), duration_ms, ?status, "tried a model");
    let Some(reason) = fatal(status, settings.trial_timeout) else { return Ok(Outcome::Passed) };
    let messages = messages.and_then(|thread| thread.join().ok()).unwrap_or_default();
    tracing::error!(folder = %folder.display(), reason, messages, "a model failed its trial");
    let error = Error::new(Kind::Setup, reason).at_path(folder);
    match status.and_then(|status| status.signal()) {
        Some(libc::SIGKILL) => Ok(Outcome::Killed(error)),
        _ => Err(error),
    }
}

fn command(program: PathBuf, folder: &Path, settings: &Settings) -> Command {
    let Settings { runtime, threads, weights, fast_kernels, skip_zeros, .. } = settings;
    let mut command = Command::new(program);
    command.arg(COMMAND).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_remove("CAMLENS_CONFIG").env("CAMLENS_LOG_LEVEL", "off");
    command.env("CAMLENS_FAST_KERNELS", fast_kernels.to_string());
    command.env("CAMLENS_SKIP_ZEROS", skip_zeros.to_string());
    let is_copied = *weights == WeightStorage::Copy;
    command.env("CAMLENS_WEIGHTS", if is_copied { "copy" } else { "map" });
    if let Some(runtime) = runtime {
        command.env("CAMLENS_RUNTIME", runtime);
    }
    if let Some(threads) = threads {
        command.env("CAMLENS_THREADS", threads.to_string());
    }
    command
}

/// Reads what the child says until it ends, and keeps the end of it.
fn last_messages(child: &mut Child) -> Option<std::thread::JoinHandle<String>> {
    let mut pipe = child.stderr.take()?;
    let read = move || {
        let (mut last, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            last.extend_from_slice(&buffer[..count]);
            last.drain(..last.len().saturating_sub(MESSAGE_BYTES));
        }
        String::from_utf8_lossy(&last).trim_end().to_owned()
    };
    std::thread::Builder::new().name("trial".into()).spawn(read).ok()
}

/// How a child ended.
enum End {
    Exited(ExitStatus),
    TimedOut,
    GaveWay,
}

fn wait(child: &mut Child, limit: Duration, gives_way: &dyn Fn(Duration) -> bool) -> End {
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed();
        let end = match child.try_wait() {
            Ok(Some(status)) => return End::Exited(status),
            Ok(None) if elapsed < limit && !gives_way(elapsed) => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            Ok(None) if elapsed < limit => End::GaveWay,
            _ => End::TimedOut,
        };
        // Both fail only if the child has ended.
        let _ = child.kill();
        let _ = child.wait();
        return end;
    }
}

/// Why a child's end means that the model must not be loaded.
fn fatal(status: Option<ExitStatus>, limit: Duration) -> Option<String> {
    let Some(status) = status else {
        return Some(format!("loading it takes longer than {} s", limit.as_secs_f64()));
    };
    let ended = match (status.code(), status.signal()) {
        (Some(0 | REFUSED), _) => return None,
        (_, Some(signal)) => format!("by signal {signal}"),
        (code, _) => format!("with code {}", code.unwrap_or_default()),
    };
    Some(format!("loading it ends the process {ended}, so it was not loaded"))
}

/// Limits this process, which loads one model of unknown origin.
pub fn limit_this_process() {
    if let Some(bytes) = memory_bytes() {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: reads a valid limit. Failing, it changes nothing.
        unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) };
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    #[cfg(target_os = "linux")]
    {
        // SAFETY: has no preconditions. The child ends with the service.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        // If memory runs out, this process is to be ended and not the service.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
}

/// The memory that this process may have: that of the control group, or of the machine.
fn memory_bytes() -> Option<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| number(&std::fs::read_to_string(path).ok()?));
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(number(line.trim_end_matches("kB"))? * 1024)
    });
    group.into_iter().chain(machine).min()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What a trial says of a program with this script in place of the binary.
    fn trial(script: &str) -> Result<Outcome> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let settings = Settings {
            trial_program: Some(program),
            trial_timeout: Duration::from_millis(500),
            ..Settings::default()
        };
        run(folder.path(), &settings, &|_| false)
    }

    #[test]
    fn a_child_that_dies_or_hangs_fails_its_model() {
        trial("exit 0").unwrap();
        // An orderly refusal is left to the service, which has the details.
        trial("exit 1").unwrap();
        let refusal = |script: &str| trial(script).unwrap_err().detail().to_owned();
        assert_eq!(
            refusal("kill -ABRT $$"),
            "loading it ends the process by signal 6, so it was not loaded"
        );
        assert!(matches!(trial("kill -KILL $$").unwrap(), Outcome::Killed(_)));
        assert!(refusal("exit 101").contains("with code 101"));
        assert_eq!(refusal("exec sleep 60"), "loading it takes longer than 0.5 s");
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory_bytes().unwrap() > 1 << 20);
    }
}
