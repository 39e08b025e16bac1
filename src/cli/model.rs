//! The model of a command: an id, a folder, or an ONNX file.

use std::path::Path;

use crate::config::Config;
use crate::engine::{Model, ModelRegistry, Settings};
use crate::error::{Error, Kind, Result};
use crate::model::ModelFolder;
use crate::model::folder::available_models;

/// Finds and loads the requested model.
///
/// # Errors
/// Those of [`find`] and [`open`].
pub(super) fn load(config: &Config, requested: Option<&str>) -> Result<Model> {
    open(config, find(config, requested)?)
}

/// Finds the requested model. What is no folder and no file is an id in the models folder; without
/// a request it is the default model.
///
/// # Errors
/// [`Kind::UnknownModel`](crate::error::Kind::UnknownModel), and those of reading its folder.
pub(super) fn find(config: &Config, requested: Option<&str>) -> Result<ModelFolder> {
    let models = &config.models.folder;
    match requested.map(Path::new) {
        // A folder that happens to have a model's id is none.
        Some(path)
            if path.is_dir()
                && (holds_model(path) || is_file_name(path) || !models.join(path).is_dir()) =>
        {
            ModelFolder::read(path)
        }
        Some(path) if path.is_file() => of_file(path),
        Some(path) if is_file_name(path) => ModelFolder::from_onnx_file(path),
        Some(id) if is_empty_folder(&models.join(id)) => {
            let folder = models.join(id);
            let detail = "there is no model in this folder yet; its README.md says how to get it";
            Err(Error::new(Kind::UnknownModel, detail).at_path(&folder))
        }
        _ => {
            let id = requested.or(config.models.default.as_deref());
            let (_, id) = available_models(models, id)?;
            ModelFolder::read(&models.join(id))
        }
    }
}

/// Loads one model: loading the others would waste time.
///
/// # Errors
/// Those of loading.
pub(super) fn open(config: &Config, folder: ModelFolder) -> Result<Model> {
    ModelRegistry::load_one(folder, &engine(config))
}

/// A result must not take the place of the model's file.
///
/// # Errors
/// [`Kind::Option`] that names the file.
pub(super) fn keep(folder: &ModelFolder, result: &Path) -> Result<()> {
    let same = |path: &Path| path.canonicalize().ok();
    match (same(result), same(&folder.onnx_path())) {
        (Some(result), Some(model)) if result == model => {
            let detail = format!("the result would replace the model {}", result.display());
            Err(Error::new(Kind::Option, detail))
        }
        _ => Ok(()),
    }
}

/// The engine's settings for one request at a time.
pub(super) fn engine(config: &Config) -> Settings {
    Settings { side_by_side: Some(1), ..config.engine.clone().into() }
}

/// Whether a folder says how to get its model, and has none yet.
fn is_empty_folder(folder: &Path) -> bool {
    folder.join("README.md").is_file() && !holds_model(folder)
}

/// Whether this names a file, even one that does not exist, rather than a model's id.
fn is_file_name(path: &Path) -> bool {
    is_onnx(path) || path.components().count() > 1
}

fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

fn holds_model(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    folder.join("model.toml").is_file() || entries.any(|entry| is_onnx(&entry.path()))
}

/// The model of an ONNX file: that of its folder if the folder's `model.toml` names the file,
/// otherwise a model with a default manifest.
fn of_file(file: &Path) -> Result<ModelFolder> {
    let folder = file.parent().filter(|folder| folder.join("model.toml").is_file());
    let named = folder.and_then(|folder| ModelFolder::read(folder).ok());
    match named {
        Some(found) if found.onnx_path().file_name() == file.file_name() => Ok(found),
        _ => ModelFolder::from_onnx_file(file),
    }
}

/// The log settings of a one-shot command: only warnings, unless the settings specify more.
pub(super) fn quiet(config: &Config) -> crate::config::Log {
    let mut log = config.log.clone();
    if log.level == "info" {
        log.level = "warn".into();
    }
    log
}
