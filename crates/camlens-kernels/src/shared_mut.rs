//! A mutable pointer that concurrent tasks share.

/// A pointer into a buffer that several tasks write at once, each to elements of its own.
///
/// This type only makes the pointer `Send` and `Sync`. Each use that dereferences it states why no
/// two tasks touch the same element.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T>(*mut T);

// SAFETY: the pointer itself may move between threads; dereferencing it is unsafe and justified
// at each use.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The pointer. As a method, it makes closures capture the whole `SharedMut`, which is `Sync`,
    /// rather than the bare pointer field, which is not.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
