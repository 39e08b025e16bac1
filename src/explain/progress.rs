//! Progress of methods that run many passes, which take seconds to minutes.

use ndarray::Array2;

use super::method::Method;
use super::result::{Explanation, Passes};
use super::target::ClassTarget;

/// Receives the progress of a method, and previews of its map.
///
/// It is called on the thread that computes the map, which waits for it. A closure that takes the
/// passes done and the total is an observer without previews.
pub trait ProgressObserver: Sync {
    /// Called before the first and after each batch of passes with the number of passes done and
    /// the total.
    fn progress(&self, method: Method, done: usize, total: usize);

    /// Whether a preview would be used now. None is computed otherwise.
    fn wants_partial(&self) -> bool {
        false
    }

    /// Receives the map computed from the passes done so far.
    fn partial(&self, _unfinished: &Explanation, _done: usize, _total: usize) {}
}

impl<F: Fn(usize, usize) + Sync> ProgressObserver for F {
    fn progress(&self, _method: Method, done: usize, total: usize) {
        self(done, total);
    }
}

/// Turns an unfinished map `[h, w]` into the explanation that a preview shows.
pub type Preview<'a> = &'a dyn Fn(Array2<f32>, &ClassTarget, Passes) -> Explanation;

/// Reports one series of passes to an observer.
#[derive(Clone, Copy)]
pub struct PassReporter<'a> {
    pub(super) observer: &'a dyn ProgressObserver,
    pub(super) method: Method,
    pub(super) preview: Preview<'a>,
    /// The target whose map previews show.
    pub(super) target: &'a ClassTarget,
    pub(super) total: usize,
}

impl PassReporter<'_> {
    /// Reports that `done` passes are finished, and `passes` in the whole request. `map` computes
    /// the map so far; it is called only if passes are left and the observer wants a preview.
    pub fn report(&self, done: usize, passes: Passes, map: impl FnOnce() -> Array2<f32>) {
        self.observer.progress(self.method, done, self.total);
        if 0 < done && done < self.total && self.observer.wants_partial() {
            let unfinished = (self.preview)(map(), self.target, passes);
            self.observer.partial(&unfinished, done, self.total);
        }
    }
}
