//! The mean of recent durations, kept without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The weight of a new duration is 1 in this many.
const SPAN: u64 = 8;

/// A mean that follows what it is given; zero at first.
#[derive(Debug, Default)]
pub(super) struct RecentMean {
    ns: AtomicU64,
}

impl RecentMean {
    /// Adds a duration. Two threads may both add theirs to the same old mean; then one of them is
    /// lost, which does no harm.
    pub(super) fn add(&self, duration: Duration) {
        let new_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mean_ns = match self.ns.load(Ordering::Relaxed) {
            0 => new_ns,
            mean_ns => mean_ns - mean_ns / SPAN + new_ns / SPAN,
        };
        self.ns.store(mean_ns, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_starts_with_the_first_duration_and_follows_the_later_ones() {
        let mean = RecentMean::default();
        assert_eq!(mean.get(), Duration::ZERO);
        mean.add(Duration::from_millis(80));
        assert_eq!(mean.get(), Duration::from_millis(80));
        (0..60).for_each(|_| mean.add(Duration::from_millis(8)));
        let distance = mean.get().abs_diff(Duration::from_millis(8));
        assert!(distance < Duration::from_millis(1), "{:?}", mean.get());
    }
}
