//! Where log lines go: a bounded queue, a thread, and standard error.
//!
//! Nothing that logs waits for standard error or fails with it. A line is dropped when the queue
//! is full, because the reader of standard error is stalled, or when it can't be written, because
//! the disk is full or the pipe is closed. Dropped lines are counted, and once lines are written
//! again, one of them says how many are missing.

use std::fs::File;
use std::io::{Result, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait for standard error. At a few hundred bytes each they take about a megabyte.
const QUEUE_LINES: usize = 4096;
/// How long [`flush`] waits for lines in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Lines that could not be written.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    writer: NonBlocking,
    overflow: ErrorCounter,
    guard: Mutex<Option<WorkerGuard>>,
}

/// The queue's end for one line. The first call starts the thread that writes.
pub(super) fn writer() -> NonBlocking {
    let start = || {
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUE_LINES);
        let (writer, guard) = builder.thread_name("log").finish(Sink::new());
        let overflow = writer.error_counter();
        Queue { writer, overflow, guard: Mutex::new(Some(guard)) }
    };
    QUEUE.get_or_init(start).writer.clone()
}

/// The number of log lines that were dropped since the process started.
#[must_use]
pub fn lines_dropped() -> u64 {
    let overflow = QUEUE.get().map_or(0, |queue| queue.overflow.dropped_lines());
    UNWRITTEN.load(Ordering::Relaxed).saturating_add(overflow as u64)
}

/// Waits until the lines in the queue are written, or until that takes too long. Lines that are
/// logged later are dropped.
pub fn flush() {
    let take = |queue: &Queue| queue.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(guard) = QUEUE.get().and_then(take) else { return };
    let (done, ended) = mpsc::channel();
    // Dropping the guard flushes. It may also wait for a stalled standard error, and print to a
    // standard output that is gone, so it has a thread that nobody joins.
    let flushing = std::thread::Builder::new().name("log-flush".into()).spawn(move || {
        drop(guard);
        let _ = done.send(());
    });
    if flushing.is_ok() {
        let _ = ended.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// Writes lines to standard error and counts those that it can't write.
struct Sink {
    /// A descriptor of its own: a write that stalls must not hold the lock of [`std::io::stderr`].
    stderr: Option<File>,
    /// Whether the last line was cut off by an error.
    is_mid_line: bool,
    /// Whether the last line was written.
    is_working: bool,
    /// How many dropped lines have been reported.
    reported: u64,
}

impl Sink {
    fn new() -> Self {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().ok().map(File::from);
        Self { stderr, is_mid_line: false, is_working: true, reported: 0 }
    }

    fn write_line(&mut self, line: &[u8]) -> Result<()> {
        let Some(stderr) = &mut self.stderr else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        if self.is_mid_line {
            stderr.write_all(b"\n")?;
            self.is_mid_line = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match stderr.write(rest) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.is_mid_line = !rest.is_empty();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Logs how many lines are missing, if there are new ones.
    fn report_dropped(&mut self) {
        let total = lines_dropped();
        let dropped = total - self.reported;
        if dropped == 0 || !self.is_working {
            return;
        }
        self.reported = total;
        // It goes through the queue like every other line, and so has the configured format.
        tracing::warn!(
            dropped,
            "log lines were dropped: standard error was stalled, full or closed"
        );
    }
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        self.is_working = self.write_line(line).is_ok();
        if !self.is_working {
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    /// Called when the queue is empty, so that a line about dropped lines finds a place in it.
    fn flush(&mut self) -> Result<()> {
        self.report_dropped();
        Ok(())
    }
}
