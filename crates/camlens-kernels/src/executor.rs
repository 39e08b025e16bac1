//! Executors: the caller's threads, on which the kernels run their tasks.
//!
//! The crate starts no threads of its own. A kernel splits its work into independent tasks and
//! passes them to the caller's [`Executor`], so an inference runtime can lend its own thread pool.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs independent tasks on as many threads as it has.
///
/// # Example
///
/// An executor over scoped threads, each of which runs every n-th task:
///
/// ```
/// use camlens_kernels::Executor;
///
/// struct Strided(usize);
///
/// // SAFETY: thread n runs the tasks n, n + count, …, and the scope ends after all threads.
/// unsafe impl Executor for Strided {
///     fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
///         std::thread::scope(|scope| {
///             for first in 0..self.0 {
///                 scope.spawn(move || (first..count).step_by(self.0).for_each(task));
///             }
///         });
///     }
///
///     fn threads(&self) -> usize {
///         self.0
///     }
/// }
/// ```
///
/// # Safety
/// [`Executor::run`] calls the task with each index exactly once, and with no other. Tasks write
/// disjoint parts of one buffer by their index: one that ran twice at the same time would be a data
/// race.
pub unsafe trait Executor {
    /// Calls `task(0)` to `task(count - 1)`, each exactly once and in any order, and returns when
    /// all calls have returned.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync));

    /// How many tasks can run at once. Kernels use it to choose the number of tasks.
    fn threads(&self) -> usize;
}

/// Runs every task on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

// SAFETY: a range has each index once.
unsafe impl Executor for Serial {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Starts up to this many threads for each call: for tests and benchmarks, since starting threads
/// costs more than many kernels take.
#[derive(Clone, Copy, Debug)]
pub struct ScopedThreads(pub usize);

// SAFETY: each index is the result of one `fetch_add`, and those past the last one are not used.
unsafe impl Executor for ScopedThreads {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                task(index);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.0.min(count) {
                scope.spawn(work);
            }
            work();
        });
    }

    fn threads(&self) -> usize {
        self.0
    }
}

/// Runs `tasks` tasks on up to `max_workers` workers; each worker calls `init` once, for a state
/// that it passes to every task it runs.
///
/// A state may be as large as the data, so there is one per worker and not one per task, and tasks
/// can be small enough that no thread waits long for the last one.
///
/// Every worker starts with its own contiguous share of the tasks and then steals from the others.
/// An executor that gives a thread the same worker index in every call lets that thread find the
/// data it wrote in its own cache.
pub(crate) fn for_each_init<S>(
    executor: &dyn Executor,
    max_workers: usize,
    tasks: usize,
    init: impl Fn() -> S + Sync,
    task: impl Fn(&mut S, usize) + Sync,
) {
    let workers = max_workers.min(executor.threads()).clamp(1, tasks.max(1));
    let next: Vec<AtomicUsize> =
        (0..workers).map(|worker| AtomicUsize::new(tasks * worker / workers)).collect();
    executor.run(workers, &|own| {
        let mut state = None;
        for share in (0..workers).map(|step| (own + step) % workers) {
            let end = tasks * (share + 1) / workers;
            loop {
                let index = next[share].fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                task(state.get_or_insert_with(&init), index);
            }
        }
    });
}
