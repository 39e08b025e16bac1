//! `camlens try-load FOLDER`: loads one model in a process of its own; see [`trial`].

use std::path::PathBuf;

use clap::Args;

use super::Source;
use super::model::engine;
use crate::engine::{ModelRegistry, trial};
use crate::error::Result;
use crate::model::ModelFolder;

#[derive(Args, Debug)]
pub(super) struct TryLoad {
    /// The model's folder
    folder: PathBuf,
    #[command(flatten)]
    source: Source,
}

impl TryLoad {
    pub(super) fn run(&self) -> Result<()> {
        trial::limit_this_process();
        let settings = engine(&self.source.load()?);
        ModelRegistry::load_one(ModelFolder::read(&self.folder)?, &settings).map(drop)
    }
}
