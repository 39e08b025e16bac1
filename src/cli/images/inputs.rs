//! Which images a command is to read: files, folders, patterns, and `-` for standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::explain::{Choice, Method};
use crate::picture::decode::{EXTENSIONS, has_image_extension};

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// The name by which messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The file's name without its extension, for the names of results.
    pub(super) fn stem(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// Reads the image file.
    ///
    /// # Errors
    /// [`Kind::Malformed`] with its name.
    pub(super) fn read(&self) -> Result<Bytes> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Malformed, error.to_string()).at_path(Path::new(&self.name()))
        };
        match self {
            Self::File(path) => std::fs::read(path).map(Bytes::from).map_err(failed),
            Self::Stdin => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
                Ok(bytes.into())
            }
        }
    }
}

/// The images that arguments name, each once, in the order of the arguments; those of a folder by
/// name, without its subfolders.
///
/// # Errors
/// [`Kind::Malformed`] for a folder without images and a pattern that nothing matches.
pub(super) fn inputs(arguments: &[PathBuf]) -> Result<Vec<Input>> {
    let mut found: Vec<Input> = Vec::new();
    for argument in arguments {
        for input in expand(argument)? {
            if !found.contains(&input) {
                found.push(input);
            }
        }
    }
    Ok(found)
}

fn expand(argument: &Path) -> Result<Vec<Input>> {
    let wrong = |reason: String| Error::new(Kind::Malformed, reason).at_path(argument);
    if argument == Path::new("-") {
        return Ok(vec![Input::Stdin]);
    }
    if !argument.exists() && ["true", "false"].iter().any(|value| argument == Path::new(value)) {
        let detail = "no such image; the value of an option such as --signed follows an equals \
                      sign, as in --signed=false";
        return Err(Error::new(Kind::Option, detail).at_path(argument));
    }
    let as_method = argument.to_str().and_then(Method::from_name);
    if let Some(method) = as_method.filter(|_| !argument.exists()) {
        let detail = format!(
            "no such image; methods are separated by commas, as in --methods gradcam,{}",
            method.name()
        );
        return Err(Error::new(Kind::Option, detail).at_path(argument));
    }
    if argument.is_dir() {
        let files = images_of(argument).map_err(|error| wrong(error.to_string()))?;
        if files.is_empty() {
            return Err(wrong(format!("the folder has no images ({})", EXTENSIONS.join(", "))));
        }
        return Ok(files.into_iter().map(Input::File).collect());
    }
    let text = argument.to_string_lossy();
    // A file may have such characters in its name.
    if argument.exists() || !text.contains(['*', '?', '[']) {
        return Ok(vec![Input::File(argument.to_owned())]);
    }
    let paths = glob::glob(&text).map_err(|error| wrong(error.msg.to_owned()))?;
    let files: Vec<Input> = paths
        .filter_map(std::result::Result::ok)
        .filter(|path| path.is_file())
        .map(Input::File)
        .collect();
    if files.is_empty() { Err(wrong("no file matches the pattern".to_owned())) } else { Ok(files) }
}

fn images_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && has_image_extension(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, arguments: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|one| folder.join(one)).collect();
        let strip = |input: Input| match input {
            Input::Stdin => "-".to_owned(),
            Input::File(path) => path.strip_prefix(folder).unwrap().display().to_string(),
        };
        Ok(inputs(&arguments)?.into_iter().map(strip).collect())
    }

    #[test]
    fn folders_and_patterns_name_their_images_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("in/deeper")).unwrap();
        std::fs::create_dir(path.join("none")).unwrap();
        for file in ["in/b.JPG", "in/a.png", "in/notes.txt", "in/deeper/c.png", "d[1].png"] {
            std::fs::write(path.join(file), b"").unwrap();
        }
        assert_eq!(names(path, &["in"]).unwrap(), ["in/a.png", "in/b.JPG"]);
        assert_eq!(names(path, &["in/*.png", "in"]).unwrap(), ["in/a.png", "in/b.JPG"]);
        assert_eq!(names(path, &["in/**/*.png"]).unwrap(), ["in/a.png", "in/deeper/c.png"]);
        assert_eq!(names(path, &["d[1].png"]).unwrap(), ["d[1].png"], "a name, no pattern");
        assert_eq!(names(path, &["in/notes.txt"]).unwrap(), ["in/notes.txt"]);
        assert_eq!(names(path, &["gone.png"]).unwrap(), ["gone.png"], "an error of its own, later");
        let wrong = |argument| names(path, &[argument]).unwrap_err().to_string();
        assert!(wrong("none").ends_with("dib, tif, tiff)"), "{}", wrong("none"));
        assert!(wrong("*.bmp").ends_with("no file matches the pattern"));
        let method = inputs(&["layercam".into()]).unwrap_err().to_string();
        assert!(method.ends_with("as in --methods gradcam,layercam"), "{method}");
        let value = inputs(&["true".into()]).unwrap_err();
        assert_eq!(value.kind(), Kind::Option);
        assert!(value.to_string().contains("as in --signed=false"), "{value}");
        assert_eq!(inputs(&["-".into(), "-".into()]).unwrap(), [Input::Stdin]);
    }
}
