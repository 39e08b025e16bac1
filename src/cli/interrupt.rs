//! What Ctrl-C does to a command that is no service.

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: libc::c_int = 130;

/// Makes SIGINT end the process with code 130, also for a parent that is no shell.
pub(super) fn end_with_code() {
    extern "C" fn end(_signal: libc::c_int) {
        // SAFETY: `_exit` may be called from a signal handler and has no preconditions.
        unsafe { libc::_exit(INTERRUPTED) }
    }
    let handler = end as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler is a function of the type that `signal` takes, and only calls `_exit`.
    unsafe {
        libc::signal(libc::SIGINT, handler);
    }
}
