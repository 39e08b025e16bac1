//! Turns: whose pass runs next. The models share the cores, so two passes with all threads at once
//! would only slow each other down.
//!
//! A request is [`JobClass::Short`] or [`JobClass::Long`]. Every pass waits for a turn, and the
//! promises are:
//! - Short requests go first, in order of arrival. Long ones take turns batch by batch.
//! - While short requests are in work, or came recently, long ones should run small batches
//!   ([`Turns::is_contended`]), so that a short request waits for one small batch at most. For a
//!   moment after a short request has arrived, while its image is decoded, no long batch begins.
//! - Long requests don't starve: a long batch waits at most [`MAX_WAITS`] times as long as the last
//!   one took, or [`MIN_WAIT`].
//! - When short requests are in work for more than half of the parts into which the threads are
//!   divided, passes of small models run side by side, each with its part ([`Share::Part`]). A lone
//!   request has all threads.
//! - A long batch of one image may still be too long to wait for. Then passes of small models begin
//!   beside it, each with a part of the threads ([`LONGEST_CONTENDED_BATCH`]). Otherwise parts and
//!   passes with all threads never run at the same time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cancellation::CancellationToken;
use super::recent_mean::RecentMean;
use crate::error::Result;

/// How long no long batch begins after a short request has arrived: the time to decode and
/// preprocess an ordinary image.
const HOLD: Duration = Duration::from_millis(60);
/// How long a short request counts as recent.
const RECENT: Duration = Duration::from_secs(5);
/// A long batch waits for short requests at most this many times the duration of the last one.
const MAX_WAITS: u32 = 3;
/// The shortest of these waits.
const MIN_WAIT: Duration = Duration::from_millis(200);
/// How often a waiting pass checks whether it is cancelled.
const POLL: Duration = Duration::from_millis(20);

/// How much work a request is expected to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JobClass {
    /// A few passes.
    #[default]
    Short,
    /// Many passes, such as Score-CAM's.
    Long,
}

impl JobClass {
    /// Both classes.
    pub const ALL: [Self; 2] = [Self::Short, Self::Long];

    /// The name, as metrics show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// What a pass may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All compute threads.
    All,
    /// One of the parts into which the threads are divided, by its index. No other pass has it at
    /// the same time.
    Part(usize),
}

/// Hands out turns; clones share them.
#[derive(Clone)]
pub struct Turns {
    shared: Arc<Shared>,
}

/// Bounds of [`Turns::contended_batch`]. Below the lower one, long requests would lose more to many
/// small batches than short ones gain.
const SHORTEST_CONTENDED_BATCH: Duration = Duration::from_millis(10);
const LONGEST_CONTENDED_BATCH: Duration = Duration::from_millis(50);

struct Shared {
    /// How long the passes of short requests take.
    short_pass: RecentMean,
    /// The most bytes that the images of one batch may take.
    batch_bytes: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

/// A pass that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    number: u64,
    /// Whether a part of the threads will do.
    takes_part: bool,
}

/// Who runs and who waits.
struct State {
    /// How many passes may run at once with all threads.
    parallel: usize,
    /// How many do.
    running: usize,
    /// How many of these are of long requests.
    long_running: usize,
    /// Which parts of the threads are taken.
    parts: Vec<bool>,
    next_ticket: u64,
    short: VecDeque<Ticket>,
    long: VecDeque<Ticket>,
    /// Since when long passes have waited without one being run.
    long_waits_since: Option<Instant>,
    /// How long the last long batch took.
    long_batch: Duration,
    short_in_work: usize,
    last_short: Option<Instant>,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The pass of the ticket with this number runs.
    Run(u64, Share),
    /// Nothing changes until then, unless a pass ends or arrives.
    WaitUntil(Instant),
    /// Nothing changes until a pass ends or arrives.
    Wait,
}

impl State {
    fn new(parallel: usize, parts: usize) -> Self {
        Self {
            parallel: parallel.max(1),
            running: 0,
            long_running: 0,
            parts: vec![false; parts],
            next_ticket: 0,
            short: VecDeque::new(),
            long: VecDeque::new(),
            long_waits_since: None,
            long_batch: Duration::ZERO,
            short_in_work: 0,
            last_short: None,
        }
    }

    fn waiting(&mut self, class: JobClass) -> &mut VecDeque<Ticket> {
        match class {
            JobClass::Short => &mut self.short,
            JobClass::Long => &mut self.long,
        }
    }

    fn enter(&mut self, class: JobClass, takes_part: bool, now: Instant) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        if class == JobClass::Long && self.long.is_empty() {
            self.long_waits_since = Some(now);
        }
        self.waiting(class).push_back(Ticket { number, takes_part });
        number
    }

    /// Takes a ticket out of its queue, because its pass begins or is given up.
    fn leave(&mut self, class: JobClass, ticket: u64, now: Instant) {
        self.waiting(class).retain(|other| other.number != ticket);
        if class == JobClass::Long {
            self.long_waits_since = (!self.long.is_empty()).then_some(now);
        }
    }

    /// When long work has waited long enough for short work.
    fn long_is_due(&self) -> Option<Instant> {
        Some(self.long_waits_since? + (self.long_batch * MAX_WAITS).max(MIN_WAIT))
    }

    /// Whether so many short requests are in work that most parts of the threads would be used.
    fn is_crowded(&self) -> bool {
        2 * self.short_in_work > self.parts.len()
    }

    /// The pass runs with all threads, once nothing else does.
    fn with_all(&self, ticket: Ticket) -> Next {
        match self.running < self.parallel && !self.parts.contains(&true) {
            true => Next::Run(ticket.number, Share::All),
            false => Next::Wait,
        }
    }

    fn short_pass(&self, ticket: Ticket) -> Next {
        let takes_part = ticket.takes_part && self.running == 0 && self.is_crowded();
        match self.free_part().filter(|_| takes_part) {
            Some(part) => Next::Run(ticket.number, Share::Part(part)),
            None => self.with_all(ticket),
        }
    }

    /// A short pass need not wait for a long batch that takes longer than any should.
    fn beside_long(&self) -> Next {
        let has_only_long = self.long_running == self.running;
        let is_held_up = has_only_long && self.long_batch > LONGEST_CONTENDED_BATCH;
        let short = self.short.front().filter(|ticket| is_held_up && ticket.takes_part);
        match short.zip(self.free_part()) {
            Some((ticket, part)) => Next::Run(ticket.number, Share::Part(part)),
            None => Next::Wait,
        }
    }

    fn free_part(&self) -> Option<usize> {
        self.parts.iter().position(|is_taken| !is_taken)
    }

    fn next(&self, now: Instant) -> Next {
        if self.running >= self.parallel {
            return self.beside_long();
        }
        let (short, long) = (self.short.front().copied(), self.long.front().copied());
        match (short, long, self.long_is_due()) {
            (Some(_), Some(long), Some(due)) if due <= now => self.with_all(long),
            (Some(short), _, _) => self.short_pass(short),
            (None, None, _) => Next::Wait,
            (None, Some(long), due) => {
                let last = self.last_short.filter(|_| self.short_in_work > 0);
                let hold = last.map(|last| last + HOLD);
                match hold.map(|hold| due.map_or(hold, |due| hold.min(due))) {
                    Some(until) if until > now => Next::WaitUntil(until),
                    _ => self.with_all(long),
                }
            }
        }
    }

    /// A pass has taken its turn, or gives it back.
    fn set_running(&mut self, class: JobClass, share: Share, runs: bool) {
        let is_long = usize::from(class == JobClass::Long);
        match share {
            Share::All if runs => {
                self.running += 1;
                self.long_running += is_long;
            }
            Share::All => {
                self.running -= 1;
                self.long_running -= is_long;
            }
            Share::Part(part) => self.parts[part] = runs,
        }
    }
}

impl Turns {
    /// Turns for at most `parallel` passes at once with all threads, or `parts` passes with a part
    /// of them.
    #[must_use]
    pub fn new(parallel: usize, parts: usize) -> Self {
        let state = Mutex::new(State::new(parallel, parts));
        Self {
            shared: Arc::new(Shared {
                batch_bytes: AtomicU64::new(u64::MAX),
                short_pass: RecentMean::default(),
                state,
                changed: Condvar::new(),
            }),
        }
    }

    /// Announces a request, before its image is decoded. It is in work until the guard is dropped.
    #[must_use]
    pub fn begin(&self, class: JobClass) -> InWork {
        if class == JobClass::Short {
            let mut state = self.lock();
            state.short_in_work += 1;
            state.last_short = Some(Instant::now());
        }
        InWork { turns: self.clone(), class }
    }

    /// Limits the memory that the images of one batch may take.
    pub fn limit_batch_bytes(&self, bytes: u64) {
        self.shared.batch_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The most bytes that the images of one batch may take.
    pub(super) fn batch_bytes(&self) -> u64 {
        self.shared.batch_bytes.load(Ordering::Relaxed)
    }

    /// A pass of a short request has taken this long.
    pub(super) fn note_short_pass(&self, elapsed: Duration) {
        self.shared.short_pass.add(elapsed);
    }

    /// About how long a batch of a long request may take while short requests are about: twice as
    /// long as their own passes, so that waiting for one does not multiply what they take, within
    /// bounds. A batch is one image at least.
    pub(super) fn contended_batch(&self) -> Duration {
        match self.shared.short_pass.get() {
            Duration::ZERO => LONGEST_CONTENDED_BATCH,
            mean => (2 * mean).clamp(SHORTEST_CONTENDED_BATCH, LONGEST_CONTENDED_BATCH),
        }
    }

    /// Whether long work should run small batches, because short requests are in work or came
    /// recently.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        let state = self.lock();
        state.short_in_work > 0 || state.last_short.is_some_and(|last| last.elapsed() < RECENT)
    }

    /// The number of passes of a class that wait for their turn.
    #[must_use]
    pub fn waiting(&self, class: JobClass) -> usize {
        self.lock().waiting(class).len()
    }

    /// Waits for a turn. If `takes_part`, it may be one with a part of the threads; long requests
    /// always get all.
    ///
    /// # Errors
    /// Those of [`CancellationToken::check`].
    pub(super) fn take(&self, cancel: &CancellationToken, takes_part: bool) -> Result<Turn<'_>> {
        let class = cancel.class();
        let mut state = self.lock();
        let ticket = state.enter(class, takes_part, Instant::now());
        let share = loop {
            let now = Instant::now();
            if let Err(cancelled) = cancel.check() {
                state.leave(class, ticket, now);
                drop(state);
                // The next in the queue may have waited for this one.
                self.shared.changed.notify_all();
                return Err(cancelled);
            }
            let pause = match state.next(now) {
                Next::Run(next, share) if next == ticket => break share,
                Next::WaitUntil(until) => POLL.min(until - now),
                Next::Run(..) | Next::Wait => POLL,
            };
            let waited = self.shared.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        let began = Instant::now();
        state.leave(class, ticket, began);
        state.set_running(class, share, true);
        drop(state);
        // With several slots, the next one may run, too.
        self.shared.changed.notify_all();
        Ok(Turn { turns: self, class, share, began })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in work.
pub struct InWork {
    turns: Turns,
    class: JobClass,
}

impl Drop for InWork {
    fn drop(&mut self) {
        if self.class == JobClass::Short {
            self.turns.lock().short_in_work -= 1;
            self.turns.shared.changed.notify_all();
        }
    }
}

/// The right to run one pass.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    class: JobClass,
    share: Share,
    began: Instant,
}

impl Turn<'_> {
    /// What the pass may use.
    pub(super) const fn share(&self) -> Share {
        self.share
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.set_running(self.class, self.share, false);
        if self.class == JobClass::Long {
            state.long_batch = self.began.elapsed();
        }
        drop(state);
        self.turns.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
