//! When a refused client should try again: a forecast from what is queued and from how long recent
//! requests took.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::engine::JobClass;

/// Bounds of the forecast, in seconds.
const BOUNDS_S: (f64, f64) = (1.0, 120.0);
/// How long a request is taken to be before one has been measured, in seconds: short, long.
const UNMEASURED_S: [f64; 2] = [0.2, 20.0];
/// The weight of the latest request in the mean.
const LATEST: f64 = 0.2;

/// How long requests take, by class.
#[derive(Debug, Default)]
pub struct Durations(Mutex<[Option<f64>; 2]>);

impl Durations {
    /// Adds a finished request, which shared the cores with `working` requests, itself included.
    pub fn add(&self, class: JobClass, elapsed: Duration, working: usize) {
        // Passes take turns, so of several requests in work each has its part of the time.
        let own_s = elapsed.as_secs_f64() / working.max(1) as f64;
        let mut means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = &mut means[class as usize];
        *mean = Some(mean.map_or(own_s, |mean_s| mean_s + LATEST * (own_s - mean_s)));
    }

    /// In how many seconds the queue will have been worked off, for the header `Retry-After`.
    /// `queued` is the number of short and of long requests in it.
    #[must_use]
    pub fn retry_after_s(&self, queued: [usize; 2]) -> u16 {
        let means = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_class =
            |class: usize| queued[class] as f64 * means[class].unwrap_or(UNMEASURED_S[class]);
        (of_class(0) + of_class(1)).clamp(BOUNDS_S.0, BOUNDS_S.1).ceil() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_forecast_is_the_queue_s_content_times_what_each_class_takes() {
        let durations = Durations::default();
        durations.add(JobClass::Short, seconds(1), 2);
        durations.add(JobClass::Long, seconds(15), 1);
        assert_eq!(durations.retry_after_s([4, 0]), 2);
        assert_eq!(durations.retry_after_s([4, 4]), 62);
    }

    #[test]
    fn it_is_between_one_second_and_two_minutes() {
        let durations = Durations::default();
        assert_eq!(durations.retry_after_s([0, 0]), 1);
        assert_eq!(durations.retry_after_s([0, 100]), 120);
    }

    #[test]
    fn the_mean_follows_the_recent_requests() {
        let durations = Durations::default();
        durations.add(JobClass::Long, seconds(100), 1);
        for _ in 0..30 {
            durations.add(JobClass::Long, seconds(10), 1);
        }
        assert_eq!(durations.retry_after_s([0, 1]), 11);
    }
}
