//! Finding model folders and reading what is in them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Labels, Manifest};
use crate::error::{Error, Kind, Result};

/// A model folder whose manifest and labels have been read.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// The model's id: the folder's name.
    pub id: String,
    /// Where the folder is.
    pub path: PathBuf,
    /// What the manifest says, or the usual where there is none.
    pub manifest: Manifest,
    /// The names of the classes.
    pub labels: Labels,
    /// What whoever runs the service should know, one sentence each.
    pub warnings: Vec<String>,
}

impl ModelFolder {
    /// Every folder below `models` that holds a manifest or an ONNX file, by name.
    ///
    /// # Errors
    /// [`Kind::Setup`] when `models` can't be read.
    pub fn list(models: &Path) -> Result<Vec<PathBuf>> {
        let setup = |error: std::io::Error| {
            Error::new(Kind::Setup, format!("models folder {}: {error}", models.display()))
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(models).map_err(setup)? {
            let path = entry.map_err(setup)?.path();
            if path.is_dir() && (path.join("model.toml").is_file() || only_onnx(&path).is_some()) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads the manifest and the labels of a folder.
    ///
    /// # Errors
    /// [`Kind::Setup`] naming the file that is missing or wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let id = folder_id(path);
        let manifest_path = path.join("model.toml");
        let mut warnings = Vec::new();
        let manifest = if manifest_path.is_file() {
            Manifest::read(&manifest_path)?
        } else {
            let file = only_onnx(path).ok_or_else(|| {
                Error::new(
                    Kind::Setup,
                    format!("{}: neither model.toml nor a single .onnx file", path.display()),
                )
            })?;
            warnings.push(format!(
                "model '{id}' has no model.toml: its input is prepared as is usual (ImageNet's mean and deviation; gray from 0 to 1; bytes as they are), which may not be what it was trained with"
            ));
            Manifest::usual(&file)
        };
        let labels = match &manifest.labels {
            Some(file) => Labels::read(&path.join(file))?,
            None if path.join("labels.txt").is_file() => Labels::read(&path.join("labels.txt"))?,
            None => Labels::default(),
        };
        Ok(Self { id, path: path.to_owned(), manifest, labels, warnings })
    }

    /// The folder of a lone ONNX file, as `inspect` takes them.
    ///
    /// # Errors
    /// [`Kind::Setup`] when there is no such file.
    pub fn of_file(file: &Path) -> Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        if !file.is_file() {
            return Err(Error::new(Kind::Setup, format!("{}: no such file", file.display())));
        }
        let manifest = Manifest::usual(&name);
        Ok(Self { id: name, path, manifest, labels: Labels::default(), warnings: Vec::new() })
    }

    /// Where the ONNX file is.
    #[must_use]
    pub fn onnx(&self) -> PathBuf {
        self.path.join(&self.manifest.file)
    }

    /// Holds the ONNX file against the manifest's SHA-256, if it gives one.
    ///
    /// # Errors
    /// [`Kind::Setup`] when the file is missing or another one.
    pub fn verify(&self) -> Result<()> {
        let path = self.onnx();
        let setup = |what: String| Error::new(Kind::Setup, format!("{}: {what}", path.display()));
        if !path.is_file() {
            return Err(setup(
                "the model file is missing; `make setup` fetches the ones that come with camlens"
                    .into(),
            ));
        }
        let Some(expected) = &self.manifest.sha256 else { return Ok(()) };
        let found = sha256(&path).map_err(|error| setup(error.to_string()))?;
        if found.eq_ignore_ascii_case(expected) {
            Ok(())
        } else {
            Err(setup(format!("its SHA-256 is {found}, model.toml says {expected}")))
        }
    }
}

/// The model that camlens ships as its first.
const SHIPPED: &str = "vgg16-mri";

/// The folders of the models that can be served, and the id of the one that is meant.
///
/// # Errors
/// [`Kind::Setup`] when the folder can't be read, [`Kind::UnknownModel`] when the model is not in
/// it.
pub fn available(models: &Path, asked: Option<&str>) -> Result<(Vec<PathBuf>, String)> {
    let mut folders = ModelFolder::list(models)?;
    // A folder whose ONNX file was never fetched is no model yet, unless it is asked for.
    folders.retain(|path| Some(folder_id(path).as_str()) == asked || is_fetched(path));
    let ids: Vec<String> = folders.iter().map(|path| folder_id(path)).collect();
    let unknown = |what| {
        Error::new(Kind::UnknownModel, format!("models folder {}: {what}", models.display()))
    };
    let chosen = choose(&ids, asked).map_err(unknown)?.to_owned();
    Ok((folders, chosen))
}

/// The model that is meant: the one asked for, else `vgg16-mri` where it is there, else the first.
///
/// # Errors
/// The sentence that says which there are.
fn choose<'a>(ids: &'a [String], asked: Option<&str>) -> Result<&'a str, String> {
    let found = match asked {
        Some(asked) => ids.iter().find(|id| *id == asked),
        None => ids.iter().find(|id| *id == SHIPPED).or(ids.first()),
    };
    found.map(String::as_str).ok_or_else(|| match asked {
        Some(asked) => format!("there is no model '{asked}'; there are: {}", ids.join(", ")),
        None => "there is no model; `make setup` fetches two".to_owned(),
    })
}

/// The id of the model in a folder: the folder's name.
#[must_use]
pub fn folder_id(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// False for a folder that has a manifest and not yet the ONNX file that it names.
fn is_fetched(path: &Path) -> bool {
    // What can't be read is there to be reported, not to be passed over.
    ModelFolder::read(path).map_or(true, |folder| folder.onnx().is_file())
}

/// The only `.onnx` file of a folder.
fn only_onnx(folder: &Path) -> Option<String> {
    let mut files = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".onnx"));
    files.next().filter(|_| files.next().is_none())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_onnx_file_is_a_model_with_a_warning() {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join("mine");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("net.onnx"), b"").unwrap();
        assert_eq!(ModelFolder::list(models.path()).unwrap(), std::slice::from_ref(&folder));
        let read = ModelFolder::read(&folder).unwrap();
        assert_eq!(read.onnx(), folder.join("net.onnx"));
        assert!(read.warnings[0].contains("no model.toml"));
    }

    #[test]
    fn the_shipped_model_answers_where_nobody_chose() {
        let ids = ["alpha", "vgg16-mri"].map(str::to_owned);
        assert_eq!(choose(&ids, None), Ok("vgg16-mri"));
        assert_eq!(choose(&ids[..1], None), Ok("alpha"));
        assert_eq!(
            choose(&ids, Some("beta")).unwrap_err(),
            "there is no model 'beta'; there are: alpha, vgg16-mri"
        );
        assert_eq!(choose(&[], None).unwrap_err(), "there is no model; `make setup` fetches two");
    }

    #[test]
    fn another_file_than_the_manifest_s_is_refused() {
        let models = tempfile::tempdir().unwrap();
        std::fs::write(models.path().join("m.onnx"), b"abc").unwrap();
        std::fs::write(models.path().join("model.toml"), "file = \"m.onnx\"\nsha256 = \"00\"\n")
            .unwrap();
        let error = ModelFolder::read(models.path()).unwrap().verify().unwrap_err().to_string();
        assert!(
            error.contains("its SHA-256 is ba7816bf") && error.ends_with("model.toml says 00"),
            "{error}"
        );
    }
}
