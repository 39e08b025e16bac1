//! libjpeg's errors and warnings as a Rust value.
//!
//! libjpeg reports an error by a callback that must not return. The callback unwinds with a
//! [`LibjpegError`], through C code that `mozjpeg-sys` compiles for it (its feature `unwinding`).

use std::ffi::c_int;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::resume_unwind;

use mozjpeg_sys::{
    JERR_CCIR601_NOTIMPL, JERR_FRACT_SAMPLE_NOTIMPL, JERR_IMAGE_TOO_BIG, JERR_SOF_UNSUPPORTED,
    JWRN_ADOBE_XFORM, JWRN_BOGUS_PROGRESSION, JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR,
    JWRN_NOT_SEQUENTIAL, jpeg_common_struct, jpeg_error_mgr, jpeg_std_error,
};

/// The number of one of libjpeg's messages (`jerror.h`), with which an error unwinds.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibjpegError(c_int);

impl LibjpegError {
    /// What the file has that libjpeg does not decode, if this is the reason.
    pub(super) fn unsupported_feature(self) -> Option<&'static str> {
        Some(match self.0 {
            JERR_FRACT_SAMPLE_NOTIMPL => "channels whose sampling is no whole fraction",
            JERR_CCIR601_NOTIMPL => "CCIR 601 sampling",
            JERR_SOF_UNSUPPORTED => "a coding of its own",
            JERR_IMAGE_TOO_BIG => "more than 65500 pixels on a side",
            _ => return None,
        })
    }
}

impl fmt::Display for LibjpegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libjpeg's message {}", self.0)
    }
}

impl std::error::Error for LibjpegError {}

/// The warnings after which the pixels are still those that the file describes: odd headers, stray
/// bytes between segments, an unusual order of scans.
const HARMLESS: [c_int; 5] = [
    JWRN_ADOBE_XFORM,
    JWRN_BOGUS_PROGRESSION,
    JWRN_EXTRANEOUS_DATA,
    JWRN_JFIF_MAJOR,
    JWRN_NOT_SEQUENTIAL,
];

/// Makes an error manager that unwinds at every error, and at every warning after which pixels are
/// missing or wrong.
pub(super) fn strict_errors() -> jpeg_error_mgr {
    let mut errors = MaybeUninit::<jpeg_error_mgr>::zeroed();
    // SAFETY: zero is a valid value of every field (integers, null pointers, empty options), and
    // `jpeg_std_error` fills in the rest and keeps no pointer to the struct.
    let mut errors = unsafe {
        jpeg_std_error(errors.assume_init_mut());
        errors.assume_init()
    };
    errors.error_exit = Some(error_exit);
    errors.emit_message = Some(emit_message);
    errors
}

unsafe extern "C-unwind" fn error_exit(info: &mut jpeg_common_struct) {
    // Does not call the panic hook: the file is at fault, not the program.
    resume_unwind(Box::new(message(info)));
}

/// Level -1 is a warning; higher levels trace.
unsafe extern "C-unwind" fn emit_message(info: &mut jpeg_common_struct, level: c_int) {
    let warning = message(info);
    if level == -1 && !HARMLESS.contains(&warning.0) {
        resume_unwind(Box::new(warning));
    }
}

fn message(info: &jpeg_common_struct) -> LibjpegError {
    // SAFETY: libjpeg calls with the error manager that it was given, or null.
    LibjpegError(unsafe { info.err.as_ref() }.map_or(0, |errors| errors.msg_code))
}
