//! A run's request, its progress and its outcome.

use std::path::Path;

use super::maps::{MapFormat, MapType};
use super::results::RunSettings;
use super::shard::Shard;
use super::source::Source;
use crate::app::RequestOptions;
use crate::engine::Model;
use crate::error::Error;
use crate::picture::decode::Limits;

/// What one run explains, and where its results go.
pub struct BatchRequest<'a> {
    /// The model.
    pub model: &'a Model,
    /// What to explain, and the size of the maps.
    pub options: &'a RequestOptions,
    /// The options of the pictures, if there are any.
    pub pictures: Option<&'a RequestOptions>,
    /// The form of the files of maps; none for pictures alone.
    pub maps: Option<MapFormat>,
    /// The numbers in them.
    pub map_type: MapType,
    /// Images whose maps share a file, at most.
    pub images_per_file: usize,
    /// The images of the run.
    pub sources: &'a [Source],
    /// The part of them that this process explains.
    pub shard: Shard,
    /// The folder of results.
    pub folder: &'a Path,
    /// Whether results of an earlier run may be there.
    pub resume: bool,
    /// What decides the results.
    pub settings: RunSettings,
    /// The size limit of an image.
    pub limits: Limits,
    /// How many images are worked on at once.
    pub workers: usize,
}

/// Receives the progress of a run.
pub trait Observer: Sync {
    /// How many images there are in all, if that is known, and how many have a record already.
    fn start(&self, total: Option<u64>, done: u64);
    /// An image has its record; `failed` says why it has no map.
    fn image(&self, id: &str, failed: Option<&Error>);
    /// An earlier image has the same id; this one is not explained.
    fn repeated(&self, id: &str);
    /// A source could not be read to its end.
    fn source(&self, error: &Error);
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Images with a record, those of earlier runs included.
    pub images: u64,
    /// Those among them that have no map.
    pub failed: u64,
    /// Images of this run.
    pub explained: u64,
    /// Images whose id had been seen before in this run.
    pub repeated: u64,
    /// Whether every image has its record.
    pub complete: bool,
}
