//! Writes a result under its name only once it is complete.

use std::io::{Error, Result, Write};
use std::path::{Path, PathBuf};

use crate::cli::interrupt::PartFile;

/// How many links may lead from one to another, as the kernel has it.
const MOST_LINKS: usize = 40;

/// Writes to a file beside it and renames that. A symbolic link stays one: the file that it leads
/// to is replaced. What is no regular file, such as `/dev/stdout`, is written to as it is.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let before = file.metadata().ok();
    if before.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return std::fs::write(file, bytes);
    }
    let file = target(file)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let part = file.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let (_part, mut opened) = PartFile::create(&part)?;
    let written = opened
        .write_all(bytes)
        .and_then(|()| before.map_or(Ok(()), |before| opened.set_permissions(before.permissions())))
        .and_then(|()| std::fs::rename(&part, &file));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// The file that a path leads to through symbolic links; it need not exist.
fn target(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            // It is no link.
            Err(_) => return Ok(path),
        }
    }
    Err(Error::other("too many symbolic links lead from one to another"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, link) = (folder.path().join("inner"), folder.path().join("map.png"));
        std::fs::create_dir(&inner).unwrap();
        symlink("inner/second.png", &link).unwrap();
        symlink("target.png", inner.join("second.png")).unwrap();
        for content in [b"first", b"again"] {
            write_whole(&link, content).unwrap();
            assert!(link.is_symlink() && inner.join("second.png").is_symlink());
            assert_eq!(std::fs::read(inner.join("target.png")).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["inner", "map.png"]);
        assert_eq!(names(&inner), ["second.png", "target.png"]);
        symlink("round.png", folder.path().join("round.png")).unwrap();
        let error = write_whole(&folder.path().join("round.png"), b"x").unwrap_err();
        assert!(error.to_string().contains("too many symbolic links"), "{error}");
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.png");
        std::fs::write(&file, b"old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        write_whole(&file, b"new").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_can_not_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_whole(&folder.path().join("nowhere/map.png"), b"new").is_err());
        assert!(names(folder.path()).is_empty());
    }
}
