//! camlens from outside, one file a behaviour.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod pictures;
