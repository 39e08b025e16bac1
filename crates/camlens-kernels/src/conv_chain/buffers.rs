//! Buffers that runs reuse, so that a run allocates nothing once the chain is warm.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::block16::Block16;

/// Free buffers, shared by concurrent runs. A buffer only grows.
#[derive(Default)]
pub(super) struct BufferPool(Mutex<Vec<Vec<Block16>>>);

impl BufferPool {
    /// Takes a free buffer, or an empty one. Its contents are unspecified.
    pub(super) fn take(&self) -> Vec<Block16> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// Returns a buffer.
    pub(super) fn put(&self, buffer: Vec<Block16>) {
        lock(&self.0).push(buffer);
    }
}

/// Makes a buffer at least `blocks` long. Its contents are lost.
pub(super) fn ensure_len(buffer: &mut Vec<Block16>, blocks: usize) {
    if buffer.len() < blocks {
        // A new buffer rather than a grown one: growing would copy contents that nobody reads.
        *buffer = vec![Block16::ZERO; blocks];
    }
}

/// Locks a mutex whose value stays consistent when a holder panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
