//! Progress of a run, and its last line.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::batch::{Observer, Summary};
use crate::cli::{output, usage};
use crate::error::Error;

/// How often a run that no terminal shows writes a line.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// So many images that fail are named; the manifest has all.
const NAMED_FAILURES: u64 = 10;

/// Progress on a terminal, or as a line now and then.
pub(super) struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
    started: Instant,
    state: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: Option<u64>,
    /// Images of earlier runs.
    before: u64,
    now: u64,
    failed: u64,
    repeated: u64,
    last_line: Option<Instant>,
}

impl Progress {
    pub(super) fn new(is_quiet: bool) -> Self {
        let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        Self { bar, is_quiet, started: Instant::now(), state: Mutex::default() }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate(&self, images: u64) -> f64 {
        images as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    fn note(&self, line: &str) {
        self.bar.suspend(|| output::note(line));
    }

    /// "1,200 of 10,000 images, 52.1 images/s, 3 minutes left".
    fn line(&self, counts: &Counts) -> String {
        let done = counts.before + counts.now;
        let rate = self.rate(counts.now);
        let of = counts.total.map(|total| format!(" of {}", HumanCount(total))).unwrap_or_default();
        let left = counts.total.filter(|_| counts.now > 0).map(|total| {
            let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate);
            format!(", {} left", HumanDuration(left))
        });
        format!("{}{of} images, {rate:.1} images/s{}", HumanCount(done), left.unwrap_or_default())
    }

    pub(super) fn summarise(&self, summary: Summary) {
        let Summary { images, failed, explained, repeated, complete } = summary;
        let count = |count: u64, one: &str| {
            format!("{} {one}{}", HumanCount(count), if count == 1 { "" } else { "s" })
        };
        let mut line = format!("{}: {} without a map", count(images, "image"), HumanCount(failed));
        if explained > 0 {
            let rate = self.rate(explained);
            line += &format!("; {} in this run, {rate:.1} images/s", HumanCount(explained));
        }
        if repeated > 0 {
            line += &format!("; {} named twice", count(repeated, "image"));
        }
        if !complete {
            line += "; not all sources could be read";
        }
        output::note(&line);
    }
}

impl Observer for Progress {
    fn start(&self, total: Option<u64>, done: u64) {
        let mut counts = self.counts();
        (counts.total, counts.before) = (total, done);
        let template = match total {
            Some(total) => {
                self.bar.set_length(total);
                "{wide_bar} {human_pos}/{human_len} images {rate} {left}"
            }
            None => "{spinner} {human_pos} images {rate} {elapsed}",
        };
        let style = ProgressStyle::with_template(template);
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:#} left", HumanDuration(state.eta()));
        };
        if let Ok(style) = style {
            self.bar.set_style(style.with_key("rate", rate).with_key("left", left));
        }
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    fn image(&self, id: &str, failed: Option<&Error>) {
        self.bar.inc(1);
        let mut counts = self.counts();
        counts.now += 1;
        if let Some(error) = failed {
            counts.failed += 1;
            if counts.failed <= NAMED_FAILURES && !self.is_quiet {
                let text = error.to_string().replace('\n', " ");
                let text = usage::as_flags(&text);
                let named = if text.starts_with(id) { text } else { format!("{id}: {text}") };
                self.note(&format!("camlens: {named}"));
                if counts.failed == NAMED_FAILURES {
                    self.note("camlens: the manifest names the others that fail");
                }
            }
        }
        if self.is_quiet || std::io::stderr().is_terminal() {
            return;
        }
        let last = *counts.last_line.get_or_insert(self.started);
        if last.elapsed() >= LINE_EVERY {
            counts.last_line = Some(Instant::now());
            self.note(&self.line(&counts));
        }
    }

    fn repeated(&self, id: &str) {
        let mut counts = self.counts();
        counts.repeated += 1;
        if counts.repeated <= NAMED_FAILURES && !self.is_quiet {
            self.note(&format!("camlens: {id}: an earlier image has this id; this one is skipped"));
        }
    }

    fn source(&self, error: &Error) {
        self.note(&format!("camlens: {error}"));
    }
}
