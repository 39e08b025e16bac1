//! A progress bar on a terminal.

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::cli::output;

/// Progress on a terminal: of the passes of one image, or of many images.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Whether it counts images; a lone image's passes otherwise.
    pub(super) has_many: bool,
}

impl Bar {
    pub(super) fn new(images: usize, is_quiet: bool) -> Self {
        let has_many = images > 1;
        let bar = match is_quiet {
            true => ProgressBar::hidden(),
            false if has_many => ProgressBar::new(images as u64).with_style(style("images")),
            // How many masked images there are is known once the first batch is done.
            false => ProgressBar::no_length().with_style(
                ProgressStyle::with_template("{spinner} {elapsed}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            ),
        };
        Self { bar, has_many }
    }

    pub(super) fn passes(&self, done: usize, total: usize) {
        if !self.has_many {
            if self.bar.length() != Some(total as u64) {
                self.bar.set_style(style("masked images"));
                self.bar.set_length(total as u64);
            }
            self.bar.set_position(done as u64);
        }
    }

    pub(super) fn advance(&self) {
        if self.has_many {
            self.bar.inc(1);
        }
    }

    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    pub(super) fn note(&self, line: &str) {
        self.suspend(|| output::note(line));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over a known number of these. The time that is left is known once the first is done.
fn style(what: &str) -> ProgressStyle {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}{{left}}");
    let style = ProgressStyle::with_template(&template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key(
        "left",
        |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            if state.pos() > 0 {
                let _ = write!(text, ", {:#} left", HumanDuration(state.eta()));
            }
        },
    )
}
