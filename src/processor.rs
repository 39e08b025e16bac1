//! The processor time of a thread.

use std::time::Duration;

/// How long this thread has run so far: time that other threads and processes had its core does not
/// count. Where the system doesn't tell, it is the time by the clock.
#[must_use]
pub(crate) fn thread_time() -> Duration {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one `timespec`, which `time` is.
        if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } == 0 {
            let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
            let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
            return Duration::new(seconds, nanoseconds);
        }
    }
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_takes_no_processor_time_and_work_does() {
        let began = thread_time();
        std::thread::sleep(Duration::from_millis(300));
        assert!(thread_time() - began < Duration::from_millis(100));
        let mut sum = 0_u64;
        (0..20_000_000).for_each(|n| sum = std::hint::black_box(sum ^ n));
        assert!(thread_time() > began + Duration::from_millis(1));
    }
}
