//! Watching a map grow.
//!
//! A method of many passes takes seconds to minutes. Whoever asked may [`ProgressObserver`]: hear how
//! far it is, and see the map that the passes so far would give.

use super::options::Method;
use super::result::Explanation;

/// Somebody who watches; called on the thread that explains, which waits for it.
///
/// A function of two numbers, passes done and passes in all, watches without looking at maps.
pub trait ProgressObserver: Sync {
    /// Told before the first and after each batch of passes: whose they are, how many are done, how
    /// many there are.
    fn progress(&self, method: Method, done: usize, of: usize);

    /// Whether [`ProgressObserver::partial`] would look at an unfinished map now; only then is one made.
    fn wants_partial(&self) -> bool {
        false
    }

    /// Shows the map as if the passes that are done were all.
    fn partial(&self, _unfinished: &Explanation, _done: usize, _of: usize) {}
}

impl<F: Fn(usize, usize) + Sync> ProgressObserver for F {
    fn progress(&self, _method: Method, done: usize, of: usize) {
        self(done, of);
    }
}
