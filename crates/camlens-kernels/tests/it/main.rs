//! The public API against references in 64 bits, and at sizes at the edge of what it takes.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod conv_chain;
mod reference;
mod sizes;
mod small;
