//! An image on its way through the threads of a run.

use super::maps::MapRow;
use super::record::Record;
use super::source::Content;
use crate::error::{Error, Kind, Result};
use crate::panics::catch;

/// An image on its way.
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
    pub(super) maps: Vec<MapRow>,
    pub(super) failed: Option<Error>,
}

/// Calls a function whose panic is about one image or source.
pub(super) fn caught<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch(call).unwrap_or_else(|_| {
        Err(Error::new(Kind::Internal, "a library met what it does not expect (a bug)"))
    })
}
