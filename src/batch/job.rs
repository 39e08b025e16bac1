//! What the threads of a run hand to each other.

use ndarray::Array2;

use super::record::Record;
use super::source::Content;
use crate::error::{Error, Kind, Result};
use crate::panics::catch;

/// An image that is to be explained.
pub(super) struct Job {
    /// In the order of the run.
    pub(super) position: u64,
    pub(super) id: String,
    pub(super) content: Result<Content>,
}

/// An image with its results.
pub(super) struct Finished {
    pub(super) position: u64,
    pub(super) record: Record,
    /// In the order of the record's.
    pub(super) maps: Vec<Array2<f32>>,
    pub(super) failed: Option<Error>,
}

/// Calls a function whose panic is about one image or source.
pub(super) fn caught<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch(call).unwrap_or_else(|_| {
        Err(Error::new(Kind::Internal, "a library met what it does not expect (a bug)"))
    })
}
