//! Catches panics of third-party code whose input is at fault, without a word to the user.
//!
//! A panic is reported by the process's panic hook before it is caught. So a caught one is
//! announced here, and the hook in `telemetry` logs it at the level `debug`.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many calls of [`catch`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Calls a function, and returns its panic as an error.
///
/// What the function has changed when it panics must not be used afterwards.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(call));
    DEPTH.set(DEPTH.get() - 1);
    result
}

/// Whether a panic of this thread will be caught by [`catch`].
pub(crate) fn will_be_caught() -> bool {
    DEPTH.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_only_inside_is_it_announced() {
        assert!(!will_be_caught());
        assert_eq!(
            catch(|| (will_be_caught(), catch(will_be_caught).ok())).ok(),
            Some((true, Some(true)))
        );
        // Does not call the hook, which would print in this test.
        let result = catch(|| std::panic::resume_unwind(Box::new(7)));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&7));
        assert!(!will_be_caught());
    }
}
