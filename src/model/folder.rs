//! Finds model folders, reads them, and chooses the default model.
//!
//! Reading a folder parses its manifest and labels only. [`ModelFolder::open`] reads the ONNX
//! file itself, which can be large.

use std::path::{Path, PathBuf};

use super::external_data::{DataFolders, OUTSIDE, stays_inside};
use super::held_file::WeightStorage;
use super::labels::Labels;
use super::manifest::Manifest;
use super::onnx_file::{OnnxFile, OpenOptions};
use crate::error::{Error, Kind, Result};
use crate::text::shortened;
use crate::warning::{Warning, WarningCode};

/// A model folder with its manifest and labels.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// The model's id: the folder's name.
    pub id: String,
    /// The path of the folder.
    pub path: PathBuf,
    /// The manifest, or a default one where the folder has none.
    pub manifest: Manifest,
    /// The class labels.
    pub labels: Labels,
    /// Warnings about the folder.
    pub warnings: Vec<Warning>,
}

impl ModelFolder {
    /// Lists the subfolders of `models` that contain a manifest or a single ONNX file, sorted by
    /// name.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the path when `models` can't be read.
    pub fn list(models: &Path) -> Result<Vec<PathBuf>> {
        let setup = |error: std::io::Error| {
            Error::new(Kind::Setup, format!("can't read the models folder: {error}"))
                .at_path(models)
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(models).map_err(setup)? {
            let path = entry.map_err(setup)?.path();
            if path.is_dir()
                && (path.join("model.toml").exists() || only_onnx_file(&path).is_some())
            {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads the manifest and the labels of a folder.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the path of the file that is missing or invalid.
    pub fn read(path: &Path) -> Result<Self> {
        let id = folder_id(path);
        let manifest_path = path.join("model.toml");
        let mut warnings = Vec::new();
        let only_file = |missing: &str| {
            let error = || Error::new(Kind::Setup, missing.to_owned()).at_path(path);
            only_onnx_file(path).ok_or_else(error)
        };
        let manifest = if manifest_path.exists() {
            let mut manifest = Manifest::read(&manifest_path)?;
            if manifest.file.is_empty() {
                manifest.file = only_file(
                    "model.toml has no `file`, and the folder has not exactly one .onnx file",
                )?;
            }
            if !stays_inside(Path::new(&manifest.file)) {
                let reason = format!(
                    "file = '{}' leads out of the model's folder; name a file in it, which may be \
                     a symbolic link",
                    shortened(&manifest.file)
                );
                return Err(Error::new(Kind::Setup, reason).at_path(manifest_path));
            }
            manifest
        } else {
            let file = only_file("the folder has neither a model.toml nor exactly one .onnx file")?;
            warnings.push(preprocessing_guessed(&id));
            Manifest::for_file(&file)
        };
        let labels = match &manifest.labels {
            Some(file) => Some(path.join(file)),
            None => Some(path.join("labels.txt")).filter(|path| path.exists()),
        };
        let labels = labels.map(|labels| read_labels(&labels, path, &manifest)).transpose()?;
        let labels = labels.unwrap_or_default();
        let notice = manifest.notice.iter();
        warnings.extend(notice.map(|notice| Warning::new(WarningCode::ModelNotice, notice)));
        Ok(Self { id, path: path.to_owned(), manifest, labels, warnings })
    }

    /// Treats an ONNX file outside a models folder as a model with a default manifest.
    ///
    /// # Errors
    /// [`Kind::Setup`] with the path when there is no such file.
    pub fn from_onnx_file(file: &Path) -> Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        if let Some(error) = dangling_link(file) {
            return Err(error);
        }
        if !file.is_file() {
            return Err(Error::new(Kind::Setup, "no such file").at_path(file));
        }
        let manifest = Manifest::for_file(&name);
        let warnings = vec![preprocessing_guessed(&name)];
        Ok(Self { id: name, path, manifest, labels: Labels::default(), warnings })
    }

    /// The path of the ONNX file.
    #[must_use]
    pub fn onnx_path(&self) -> PathBuf {
        self.path.join(&self.manifest.file)
    }

    /// Opens the ONNX file, and checks that it has the SHA-256 that the manifest states, if any.
    ///
    /// # Errors
    /// As [`OnnxFile::open_with`]; a missing file gets a hint.
    pub fn open(&self, storage: WeightStorage) -> Result<OnnxFile> {
        let path = self.onnx_path();
        let setup = |reason: String| Error::new(Kind::Setup, reason).at_path(&path);
        if let Some(error) = dangling_link(&path) {
            return Err(error);
        }
        if !path.exists() {
            return Err(setup(
                "the model file is missing; `make setup` fetches the ones that camlens ships"
                    .into(),
            ));
        }
        let Manifest { data_folders, sha256, .. } = &self.manifest;
        OnnxFile::open_with(&path, OpenOptions { data_folders, sha256: sha256.as_deref(), storage })
    }
}

/// The default model of an installation that configures none: the first of these that is there.
const PREFERRED: [&str; 2] = ["vgg16", "efficientnet-lite0"];

/// The model folders below `models`, and the id of the default model: `requested`, or the choice of
/// camlens where that is `None`. A folder whose ONNX file is missing is in the list, so that
/// loading it says so, but it is not chosen.
///
/// # Errors
/// [`Kind::Setup`] when `models` can't be read, [`Kind::UnknownModel`] when the requested model
/// is not in it or it contains no models; both with its path.
pub fn available_models(models: &Path, requested: Option<&str>) -> Result<(Vec<PathBuf>, String)> {
    let folders = ModelFolder::list(models)?;
    // A requested model stays: then the error should say that its file is missing.
    let is_choice =
        |path: &&PathBuf| Some(folder_id(path).as_str()) == requested || is_fetched(path);
    let ids: Vec<String> = folders.iter().filter(is_choice).map(|path| folder_id(path)).collect();
    let default = choose_default(&ids, requested)
        .map_err(|reason| Error::new(Kind::UnknownModel, reason).at_path(models))?
        .to_owned();
    Ok((folders, default))
}

/// The subfolders of `models` that are no model folders, each with the reason.
///
/// # Errors
/// [`Kind::Setup`] when `models` can't be read.
pub fn skipped_folders(models: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let known = ModelFolder::list(models)?;
    let setup = |error: std::io::Error| Error::new(Kind::Setup, error.to_string()).at_path(models);
    let mut skipped = Vec::new();
    for entry in std::fs::read_dir(models).map_err(setup)? {
        let path = entry.map_err(setup)?.path();
        let is_hidden = folder_id(&path).starts_with('.');
        if path.is_dir() && !is_hidden && !known.contains(&path) {
            skipped.push((path, "it has neither a model.toml nor exactly one .onnx file"));
        }
    }
    skipped.sort();
    Ok(skipped)
}

/// The requested model; without a request the first of [`PREFERRED`] that is present, otherwise
/// the first one.
///
/// # Errors
/// A sentence that lists the available models.
fn choose_default<'a>(ids: &'a [String], requested: Option<&str>) -> Result<&'a str, String> {
    let found = match requested {
        Some(requested) => ids.iter().find(|id| *id == requested),
        None => {
            let present = |preferred: &&str| ids.iter().find(|id| id == preferred);
            PREFERRED.iter().find_map(present).or(ids.first())
        }
    };
    found.map(String::as_str).ok_or_else(|| match requested {
        Some(id) if ids.is_empty() => {
            format!("there is no model '{id}', and no other one; `make setup` fetches two")
        }
        Some(id) => format!("there is no model '{id}'; available models: {}", ids.join(", ")),
        None => "there are no models; `make setup` fetches two".to_owned(),
    })
}

/// The id of the model in a folder, which is the folder's name.
#[must_use]
pub fn folder_id(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the ONNX file that a folder's manifest names is present.
fn is_fetched(path: &Path) -> bool {
    // A folder that can't be read must stay in the list, so that its error is reported; so must one
    // whose file is a link that leads nowhere.
    ModelFolder::read(path).map_or(true, |folder| {
        let file = folder.onnx_path();
        file.is_file() || file.is_symlink()
    })
}

/// The error for a symbolic link that leads nowhere, if `path` is one.
pub(super) fn dangling_link(path: &Path) -> Option<Error> {
    let target = std::fs::read_link(path).ok().filter(|_| !path.exists())?;
    let detail = "the symbolic link leads to a file that does not exist";
    Some(Error::new(Kind::Setup, detail).at_path(path).at_link_to(target))
}

/// Reads the labels of the model in `folder`, if they lie where its external data may lie.
fn read_labels(path: &Path, folder: &Path, manifest: &Manifest) -> Result<Labels> {
    // A file that is missing is reported as such.
    if let Ok(file) = path.canonicalize()
        && !DataFolders::of_folder(folder, &manifest.file, &manifest.data_folders)?.contain(&file)
    {
        let reason = format!("the file {OUTSIDE}");
        return Err(Error::new(Kind::Setup, reason).at_path(path));
    }
    Labels::read(path)
}

/// The name of the only `.onnx` file in a folder; `None` if there are none or several.
fn only_onnx_file(folder: &Path) -> Option<String> {
    let mut files = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".onnx"));
    files.next().filter(|_| files.next().is_none())
}

fn preprocessing_guessed(id: &str) -> Warning {
    let detail = format!(
        "model '{id}' has no model.toml, so it gets default preprocessing, which may differ from \
         the one it was trained with: ImageNet's mean and standard deviation for colour, 0 to 1 \
         for grayscale, unchanged pixels for uint8 inputs"
    );
    Warning::new(WarningCode::PreprocessingGuessed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_only_an_onnx_file_is_a_model_with_a_warning() {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join("mine");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("net.onnx"), b"").unwrap();
        assert_eq!(ModelFolder::list(models.path()).unwrap(), std::slice::from_ref(&folder));
        let read = ModelFolder::read(&folder).unwrap();
        assert_eq!(read.onnx_path(), folder.join("net.onnx"));
        assert!(read.warnings[0].detail.contains("no model.toml"));
    }

    #[test]
    fn a_manifest_need_not_name_the_only_onnx_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("net.onnx"), b"").unwrap();
        std::fs::write(folder.path().join("model.toml"), "[output]\nkind = \"regression\"\n")
            .unwrap();
        let read = ModelFolder::read(folder.path()).unwrap();
        assert_eq!(read.onnx_path(), folder.path().join("net.onnx"));
        assert!(read.warnings.is_empty());
        std::fs::write(folder.path().join("other.onnx"), b"").unwrap();
        let error = ModelFolder::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("model.toml has no `file`"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_model_that_is_a_dangling_link_is_listed_and_its_target_is_named() {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join("mine");
        std::fs::create_dir(&folder).unwrap();
        let link = folder.join("model.onnx");
        std::os::unix::fs::symlink("../blobs/gone", &link).unwrap();
        let expected = format!(
            "{} -> ../blobs/gone: the symbolic link leads to a file that does not exist",
            link.display()
        );
        let (folders, default) = available_models(models.path(), None).unwrap();
        assert_eq!((folders, default.as_str()), (vec![folder.clone()], "mine"));
        let error = ModelFolder::read(&folder).unwrap().open(WeightStorage::Map).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = ModelFolder::from_onnx_file(&link).unwrap_err();
        assert_eq!(error.to_string(), expected);
        // Never fetched, and no link: left out.
        std::fs::remove_file(&link).unwrap();
        std::fs::write(folder.join("model.toml"), "file = \"model.onnx\"\n").unwrap();
        assert!(available_models(models.path(), None).is_err());
    }

    /// What a manifest says that someone else wrote must not read any file of this machine.
    #[test]
    fn a_manifest_names_files_in_its_folder_alone() {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join("mine");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        for file in ["secret.onnx", "secret.txt", "mine/model.onnx", "mine/inner/model.onnx"] {
            std::fs::write(models.path().join(file), b"secret").unwrap();
        }
        let absolute = models.path().join("secret.onnx").display().to_string();
        let read = |manifest: String| {
            std::fs::write(folder.join("model.toml"), manifest).unwrap();
            ModelFolder::read(&folder)
        };
        for outside in
            ["../secret.onnx", "inner/../../secret.onnx", "../mine/model.onnx", &absolute]
        {
            let error = read(format!("file = '{outside}'\n")).unwrap_err();
            let expected = format!("file = '{outside}' leads out of the model's folder");
            assert!(error.detail().starts_with(&expected), "{error}");
            assert_eq!(error.path(), Some(folder.join("model.toml").as_path()));
        }
        for inside in ["model.onnx", "./model.onnx", "inner/model.onnx", "inner/../model.onnx"] {
            assert!(read(format!("file = '{inside}'\n")).is_ok(), "{inside}");
        }
        let absolute = models.path().join("secret.txt").display().to_string();
        for outside in ["../secret.txt", &absolute] {
            let error = read(format!("file = 'model.onnx'\nlabels = '{outside}'\n")).unwrap_err();
            assert!(error.detail().contains(OUTSIDE), "{error}");
        }
    }

    #[test]
    fn the_preferred_model_is_the_default_unless_another_is_requested() {
        let ids = ["alpha", "efficientnet-lite0", "vgg16"].map(str::to_owned);
        assert_eq!(choose_default(&ids, None), Ok("vgg16"));
        assert_eq!(choose_default(&ids[..2], None), Ok("efficientnet-lite0"));
        assert_eq!(choose_default(&ids[..1], None), Ok("alpha"));
        assert_eq!(
            choose_default(&ids, Some("beta")).unwrap_err(),
            "there is no model 'beta'; available models: alpha, efficientnet-lite0, vgg16"
        );
        assert_eq!(
            choose_default(&[], None).unwrap_err(),
            "there are no models; `make setup` fetches two"
        );
        assert_eq!(
            choose_default(&[], Some("beta")).unwrap_err(),
            "there is no model 'beta', and no other one; `make setup` fetches two"
        );
    }

    #[test]
    fn a_file_with_another_sha_256_than_the_manifest_states_is_an_error() {
        let models = tempfile::tempdir().unwrap();
        std::fs::write(models.path().join("m.onnx"), b"abc").unwrap();
        std::fs::write(models.path().join("model.toml"), "file = \"m.onnx\"\nsha256 = \"00\"\n")
            .unwrap();
        let error = ModelFolder::read(models.path())
            .unwrap()
            .open(WeightStorage::Map)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("its SHA-256 is ba7816bf") && error.ends_with("model.toml says 00"),
            "{error}"
        );
    }
}
