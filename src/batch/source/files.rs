//! What the arguments of a run name.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::table::{Columns, Table};
use super::{Source, is_image, open};
use crate::error::{Error, Kind, Result};

/// The sources that arguments name, in their order. `skip` is the folder of results, whose pictures
/// are no images of the run.
///
/// # Errors
/// [`Kind::Malformed`] for an argument that names nothing, and for a table without a column of
/// images.
pub fn sources(arguments: &[PathBuf], columns: &Columns, skip: &Path) -> Result<Vec<Source>> {
    let mut found = Finder { sources: Vec::new(), columns, skip: skip.canonicalize().ok() };
    for argument in arguments {
        found.argument(argument)?;
    }
    Ok(found.sources)
}

struct Finder<'a> {
    sources: Vec<Source>,
    columns: &'a Columns,
    /// The folder of results in its canonical form, if it exists.
    skip: Option<PathBuf>,
}

impl Finder<'_> {
    fn argument(&mut self, argument: &Path) -> Result<()> {
        let wrong = |reason: &str| Error::new(Kind::Malformed, reason.to_owned()).at_path(argument);
        if argument == Path::new("-") {
            return self.list(std::io::stdin().lock(), argument);
        }
        // A link to nothing is a file that can't be read, as in a folder.
        if argument.symlink_metadata().is_ok() {
            return self.path(argument);
        }
        let text = argument.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return Err(wrong("no such file or folder"));
        }
        let paths = glob::glob(&text).map_err(|error| wrong(error.msg))?;
        let before = self.sources.len();
        for path in paths.filter_map(std::result::Result::ok) {
            self.path(&path)?;
        }
        if self.sources.len() == before {
            return Err(wrong("no file matches the pattern"));
        }
        Ok(())
    }

    fn path(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return self.folder(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let ends = |extensions: &[&str]| extensions.iter().any(|one| name.ends_with(one));
        if ends(&[".tar", ".tar.gz", ".tgz"]) {
            self.sources.push(Source::Archive(Archive::open(path)?));
        } else if ends(&[".parquet", ".pq"]) {
            self.sources.push(Source::Table(Table::open(path, self.columns)?));
        } else if ends(&[".txt", ".lst"]) {
            self.list(std::io::BufReader::new(open(path)?), path)?;
        } else {
            self.file(path.to_owned());
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf) {
        match self.sources.last_mut() {
            Some(Source::Files(files)) => files.push(path),
            _ => self.sources.push(Source::Files(vec![path])),
        }
    }

    /// The images of a folder and its subfolders, by name. Links to folders are not followed: they
    /// may lead round in a circle.
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let failed = |error: std::io::Error| {
                Error::new(Kind::Malformed, error.to_string()).at_path(&folder)
            };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                if entry.file_type().map_err(failed)?.is_dir() {
                    let is_results = self.skip.is_some() && path.canonicalize().ok() == self.skip;
                    if !is_results {
                        folders.push(path);
                    }
                } else if is_image(&path) && !path.is_dir() {
                    // What is no regular file, or a link to nothing, gets a record that says so.
                    found.push(path);
                }
            }
        }
        if found.is_empty() {
            return Err(Error::new(Kind::Malformed, "the folder has no images").at_path(folder));
        }
        found.sort();
        found.into_iter().for_each(|path| self.file(path));
        Ok(())
    }

    /// The files that a list names, one in a line. They are found when their turn comes.
    fn list(&mut self, lines: impl BufRead, name: &Path) -> Result<()> {
        let mut count = 0_u64;
        for line in lines.lines() {
            let line =
                line.map_err(|error| Error::new(Kind::Malformed, error.to_string()).at_path(name))?;
            // Editors on Windows begin a list with a mark, and end its lines with CR LF.
            let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r');
            if !line.trim().is_empty() {
                self.file(line.into());
                count += 1;
            }
        }
        if count == 0 {
            return Err(Error::new(Kind::Malformed, "the list names no files").at_path(name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    fn ids(folder: &Path, arguments: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|one| folder.join(one)).collect();
        let mut found = Vec::new();
        for source in sources(&arguments, &Columns::default(), &folder.join("in/results"))? {
            source.ids(&mut |id| found.push(id.to_owned()))?;
        }
        let prefix = format!("{}/", folder.display());
        Ok(found.iter().map(|id| id.strip_prefix(&prefix).unwrap_or(id).to_owned()).collect())
    }

    #[test]
    fn folders_patterns_and_lists_name_images() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for folder in ["in/deeper", "in/results/pictures", "none"] {
            create_dir_all(path.join(folder)).unwrap();
        }
        for file in [
            "in/b.JPG",
            "in/a.png",
            "in/._a.png",
            "in/notes.md",
            "in/deeper/c.webp",
            "in/results/pictures/a.png",
        ] {
            write(path.join(file), b"").unwrap();
        }
        std::os::unix::fs::symlink("..", path.join("in/deeper/round")).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("in/dangling.png")).unwrap();
        let images = ["in/a.png", "in/b.JPG", "in/dangling.png", "in/deeper/c.webp"];
        assert_eq!(ids(path, &["in"]).unwrap(), images);
        assert_eq!(ids(path, &["in/notes.md"]).unwrap(), ["in/notes.md"], "named itself");
        assert_eq!(ids(path, &["in/*.JPG", "in/a.png"]).unwrap(), ["in/b.JPG", "in/a.png"]);
        write(path.join("list.txt"), "\u{feff}x/1.png\r\n \nx/2.png").unwrap();
        write(path.join("empty.txt"), "\r\n").unwrap();
        assert_eq!(ids(path, &["list.txt"]).unwrap(), ["x/1.png", "x/2.png"]);
        for (argument, reason) in [
            ("none", "the folder has no images"),
            ("gone", "no such file or folder"),
            ("empty.txt", "the list names no files"),
            ("*.bmp", "no file matches the pattern"),
        ] {
            let error = ids(path, &[argument]).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
    }
}
