//! Keeps the process alive when a mapped file becomes shorter.
//!
//! Reading a page of a mapping that lies behind the end of its file raises SIGBUS, which would end
//! the service with all of its models. The handler here puts a page of zeros in that place. The
//! pass that reads it then computes nonsense, so whoever uses a mapping checks afterwards whether
//! its file has changed.
//!
//! A fault anywhere else is left to the handler that was there before.

use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;

/// A mapping whose faults are handled.
pub(super) struct GuardedMapping {
    mapping: Mmap,
    slot: &'static Range,
}

impl GuardedMapping {
    /// Guards a mapping. `None` if there are too many, or signals can't be handled.
    pub(super) fn new(mapping: Mmap) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let start = mapping.as_ptr() as usize;
        let is_free = |slot: &&Range| slot.start.compare_exchange(0, start, ORDER, ORDER).is_ok();
        let slot = RANGES.iter().find(is_free)?;
        slot.end.store(start + mapping.len(), ORDER);
        Some(Self { mapping, slot })
    }
}

impl AsRef<[u8]> for GuardedMapping {
    fn as_ref(&self) -> &[u8] {
        &self.mapping
    }
}

impl Drop for GuardedMapping {
    fn drop(&mut self) {
        self.slot.end.store(0, ORDER);
        self.slot.start.store(0, ORDER);
    }
}

const ORDER: Ordering = Ordering::SeqCst;

/// The addresses of a mapping; zeros where the slot is free. A signal handler can't take a lock, so
/// the table has a fixed size.
struct Range {
    start: AtomicUsize,
    end: AtomicUsize,
}

static RANGES: [Range; 1024] =
    [const { Range { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 1024];

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler, once; whether that worked.
fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // SAFETY: `sysconf` has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let Ok(page) = usize::try_from(page) else { return false };
        PAGE_BYTES.store(page, ORDER);
        // SAFETY: all zeros are a valid `sigaction`.
        let [mut action, mut previous]: [libc::sigaction; 2] = unsafe { std::mem::zeroed() };
        // SAFETY: only reads the action in force into a valid place.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) } != 0 {
            return false;
        }
        // Known before the handler can run.
        PREVIOUS.get_or_init(|| previous);
        action.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: `handle` has the signature that `SA_SIGINFO` demands, and does only what a signal
        // handler may do.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0 }
    })
}

extern "C" fn handle(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t`, which for SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let is_mapped = RANGES
        .iter()
        .any(|range| (range.start.load(ORDER)..range.end.load(ORDER)).contains(&address));
    if is_mapped && put_zeros(address) {
        return;
    }
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: the action was in force before. The instruction runs again and faults again, this
        // time with that action.
        unsafe { libc::sigaction(libc::SIGBUS, previous, ptr::null_mut()) };
    }
}

/// Maps a page of zeros in place of the page of an address. Only a system call, as the caller is a
/// signal handler.
fn put_zeros(address: usize) -> bool {
    let page_bytes = PAGE_BYTES.load(ORDER);
    let page = (address - address % page_bytes) as *mut c_void;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page belongs to a mapping of this table, which nobody else unmaps, and it has no
    // content: reading it has just failed.
    let mapped = unsafe { libc::mmap(page, page_bytes, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_a_shortened_file_reads_as_zeros() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 1 << 20], 0).unwrap();
        // SAFETY: that the file becomes shorter is the point of the test.
        let mapping = GuardedMapping::new(unsafe { Mmap::map(&file) }.unwrap()).unwrap();
        assert!(mapping.as_ref().iter().all(|byte| *byte == 7));
        file.set_len(0).unwrap();
        assert!(mapping.as_ref().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_slot_is_used_again() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8).unwrap();
        for _ in 0..2 * RANGES.len() {
            // SAFETY: nobody changes the file.
            assert!(GuardedMapping::new(unsafe { Mmap::map(&file) }.unwrap()).is_some());
        }
    }
}
