//! Who runs the pieces of a stage: the caller's threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs pieces of work, on as many threads as it has.
pub trait Pool {
    /// Calls `piece(0)` to `piece(count − 1)`, each once, in any order, and returns when all are
    /// done.
    fn run(&self, count: usize, piece: &(dyn Fn(usize) + Sync));

    /// How many pieces can run at once.
    fn threads(&self) -> usize;
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Pool for Serial {
    fn run(&self, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(piece);
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Threads that are started for each call: for tests and measurements.
#[derive(Clone, Copy, Debug)]
pub struct Scoped(pub usize);

impl Pool for Scoped {
    fn run(&self, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                piece(index);
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

/// Has up to `workers` pieces run, each of which makes what it works with once and then takes one
/// turn after another, until all `turns` are taken. What it works with may be as large as what it
/// works on, so there is one for each thread, and the turns are small enough that nobody waits long
/// for the last.
///
/// Each takes the turns of its own share first, then what others have left. Who runs the pieces
/// gives the same thread the same share of every stage, and so it finds in its own cache what it
/// left there.
pub(crate) fn share<W>(
    threads: &dyn Pool,
    workers: usize,
    turns: usize,
    make: impl Fn() -> W + Sync,
    turn: impl Fn(&mut W, usize) + Sync,
) {
    let workers = workers.min(threads.threads()).clamp(1, turns.max(1));
    let next: Vec<AtomicUsize> =
        (0..workers).map(|worker| AtomicUsize::new(turns * worker / workers)).collect();
    threads.run(workers, &|own| {
        let mut mine = None;
        for share in (0..workers).map(|step| (own + step) % workers) {
            let end = turns * (share + 1) / workers;
            loop {
                let index = next[share].fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                turn(mine.get_or_insert_with(&make), index);
            }
        }
    });
}

/// A pointer that the pieces of one stage share. Each writes places that no other touches.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: it is only a pointer; what is done through it is up to the unsafe code that does it.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The pointer; a method, so that closures capture the whole and not the bare pointer in it.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
