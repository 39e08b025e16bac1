//! Maps of folders, lists, archives and tables of images: `camlens batch`.
//!
//! One thread finds and reads images in order. Several explain them: while one computes, the others
//! decode, draw and wait. The caller's thread writes results in chunks. Images that are on their way
//! are few, so memory does not grow with their number.

mod job;
mod maps;
mod pipeline;
mod record;
mod request;
mod results;
mod shard;
mod source;
mod worker;

pub use maps::{MapFormat, MapType};
pub use pipeline::run;
pub use request::{BatchRequest, Observer, Summary};
pub use results::RunSettings;
pub use shard::Shard;
pub use source::{Columns, Source, sources};
