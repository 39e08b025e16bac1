//! Where the images of a run come from: files, folders, lists, tar archives and Parquet tables.
//!
//! Every image has an id that is the same in every run: a file's path, `ARCHIVE/MEMBER`, or
//! `TABLE#ROW`.

mod archive;
mod files;
mod table;

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::archive::Archive;
use self::table::Table;
use crate::digest::sha256;
use crate::error::{Error, Kind, Result};
use crate::picture::decode::has_image_extension;
use crate::regular_file::open_regular;

pub use files::sources;
pub use table::Columns;

/// A larger file is refused before it is read, since it is held in memory.
const MAX_IMAGE_BYTES: u64 = 512 << 20;

/// Whether a path in a folder or an archive is that of an image; a file that is named itself may have
/// any extension. A hidden file is none: macOS writes `._NAME.jpg`.
fn is_image(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    !name.starts_with(b".") && has_image_extension(path)
}

/// An image file.
#[derive(Debug)]
pub enum Content {
    /// A file that is read when its turn comes.
    File(PathBuf),
    /// What an archive or a table holds.
    Bytes(Bytes),
}

impl Content {
    /// Reads the image file.
    ///
    /// # Errors
    /// [`Kind::Malformed`] with the reason.
    pub fn read(self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::File(path) => {
                let file = open(&path)?;
                let len = file.metadata().map_err(|error| unreadable(&error))?.len();
                read_all(file, len)
            }
        }
    }
}

/// The content of a reader that says how long it is.
fn read_all(reader: impl Read, len: u64) -> Result<Bytes> {
    if len > MAX_IMAGE_BYTES {
        let detail = format!("the file has {len} bytes; an image may have {MAX_IMAGE_BYTES}");
        return Err(Error::new(Kind::BodyTooLarge, detail));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    reader.take(MAX_IMAGE_BYTES).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    Ok(bytes.into())
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::new(Kind::Malformed, error.to_string())
}

/// Receives the images of a source.
pub trait Visitor {
    /// Whether an image is wanted. What is not is not read.
    fn wants(&mut self, id: &str) -> bool;

    /// Receives an image, or why there is none.
    fn take(&mut self, id: String, content: Result<Content>) -> ControlFlow<()>;
}

/// Images that lie together.
#[derive(Debug)]
pub enum Source {
    /// Files.
    Files(Vec<PathBuf>),
    /// A tar archive.
    Archive(Archive),
    /// A Parquet table.
    Table(Table),
}

impl Source {
    /// Calls `each` with the id of every image, unless finding them takes as long as reading them.
    /// Returns whether it did.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for an archive or a table that can't be read.
    pub fn ids(&self, each: &mut dyn FnMut(&str)) -> Result<bool> {
        match self {
            Self::Files(paths) => paths.iter().for_each(|path| each(&id_of(path))),
            Self::Archive(archive) => return archive.ids(each),
            Self::Table(table) => table.ids(each)?,
        }
        Ok(true)
    }

    /// Offers every image to a visitor, in order.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for an archive or a table that can't be read to its end.
    pub fn visit(&self, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>> {
        match self {
            Self::Files(paths) => {
                for path in paths {
                    let id = id_of(path);
                    if visitor.wants(&id)
                        && visitor.take(id, Ok(Content::File(path.clone()))).is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Self::Archive(archive) => archive.visit(visitor),
            Self::Table(table) => table.visit(visitor),
        }
    }
}

/// A path as text that no other path has.
fn id_of(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let bytes = path.as_os_str().as_encoded_bytes();
            format!("{}#{}", path.display(), &sha256(bytes)[..16])
        }
    }
}

/// Opens a file of a run, which no setting names.
fn open(path: &Path) -> Result<File> {
    open_regular(path).map_err(|error| Error::new(Kind::Malformed, error.to_string()))
}
