//! Images in a tar archive, such as a shard of WebDataset.

use std::io::{BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Visitor, is_image, open, read_all};
use crate::error::{Error, Kind, Result};

/// A tar archive, which may be compressed by gzip.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    is_compressed: bool,
}

impl Archive {
    /// Looks at an archive's first bytes.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if it can't be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut magic = Vec::new();
        open(path)?.take(2).read_to_end(&mut magic).map_err(|error| fault(path, &error))?;
        Ok(Self { path: path.to_owned(), is_compressed: magic == [0x1f, 0x8b] })
    }

    /// The ids of the images, by seeking from one header to the next. A compressed archive would
    /// have to be decompressed.
    pub(super) fn ids(&self, each: &mut dyn FnMut(&str)) -> Result<bool> {
        if self.is_compressed {
            return Ok(false);
        }
        let mut archive = tar::Archive::new(BufReader::new(open(&self.path)?));
        let entries = archive.entries_with_seek().map_err(|error| fault(&self.path, &error))?;
        for entry in entries {
            // The visit reports what is wrong, once the images before it are done.
            let Ok(entry) = entry else { break };
            if let Some(id) = self.id(&entry) {
                each(&id);
            }
        }
        Ok(true)
    }

    pub(super) fn visit(&self, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>> {
        let file = open(&self.path)?;
        if self.is_compressed {
            let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
            let entries = archive.entries().map_err(|error| fault(&self.path, &error))?;
            let flow = self.each(entries, u64::MAX, visitor)?;
            // The checksum stands at the end.
            if flow.is_continue() {
                let rest = std::io::copy(&mut archive.into_inner(), &mut std::io::sink());
                rest.map_err(|error| fault(&self.path, &error))?;
            }
            return Ok(flow);
        }
        let len = file.metadata().map_err(|error| fault(&self.path, &error))?.len();
        let mut archive = tar::Archive::new(BufReader::new(file));
        let entries = archive.entries_with_seek().map_err(|error| fault(&self.path, &error))?;
        self.each(entries, len, visitor)
    }

    fn each<R: Read>(
        &self,
        entries: tar::Entries<'_, R>,
        len: u64,
        visitor: &mut dyn Visitor,
    ) -> Result<ControlFlow<()>> {
        let mut found = 0_u64;
        for entry in entries {
            let entry = entry.map_err(|error| fault(&self.path, &error))?;
            let end = entry.raw_file_position().saturating_add(entry.size());
            let is_cut = end > len && !entry.header().entry_type().is_gnu_sparse();
            let Some(id) = self.id(&entry) else { continue };
            found += 1;
            if !visitor.wants(&id) {
                if is_cut {
                    return Err(self.cut());
                }
                continue;
            }
            let len = entry.size();
            let content = read_all(entry, len).and_then(|bytes| {
                if bytes.len() as u64 == len {
                    return Ok(super::Content::Bytes(bytes));
                }
                Err(Error::new(Kind::Malformed, "the archive ends within this image"))
            });
            if visitor.take(id, content).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if is_cut {
                return Err(self.cut());
            }
        }
        if found == 0 {
            let detail = "the archive has no images";
            return Err(Error::new(Kind::Malformed, detail).at_path(&self.path));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn cut(&self) -> Error {
        let detail = "the archive is cut short; images after this point are missing";
        Error::new(Kind::Malformed, detail).at_path(&self.path)
    }

    /// The id of a member, if it is an image file.
    fn id<R: Read>(&self, entry: &tar::Entry<'_, R>) -> Option<String> {
        let path = entry.path().ok()?;
        let kind = entry.header().entry_type();
        let is_file = kind.is_file() || kind.is_gnu_sparse();
        (is_file && is_image(&path)).then(|| {
            let member = super::id_of(&path);
            format!("{}/{}", super::id_of(&self.path), member.trim_start_matches("./"))
        })
    }
}

fn fault(path: &Path, error: &std::io::Error) -> Error {
    // What the library says of a damaged header quotes its bytes.
    let reason = match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error.to_string(),
        (None, ErrorKind::UnexpectedEof) => "it ends too early".to_owned(),
        (None, _) => "it is damaged, or no tar archive".to_owned(),
    };
    Error::new(Kind::Malformed, format!("the archive can't be read: {reason}")).at_path(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::Content;
    use super::*;

    /// What a visitor got: ids with lengths, or errors.
    #[derive(Default)]
    struct Seen(Vec<(String, std::result::Result<usize, String>)>);

    impl Visitor for Seen {
        fn wants(&mut self, id: &str) -> bool {
            !id.ends_with("skipped.png")
        }

        fn take(&mut self, id: String, content: Result<Content>) -> ControlFlow<()> {
            let read = content.and_then(Content::read);
            self.0.push((id, read.map(|bytes| bytes.len()).map_err(|error| error.to_string())));
            ControlFlow::Continue(())
        }
    }

    fn tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, len) in [
            ("./a.png", 700),
            ("notes.json", 3),
            ("deep/skipped.png", 600),
            ("deep/._b.jpg", 5),
            ("deep/b.jpg", 1000),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(len);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &vec![7_u8; len as usize][..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn visited(path: &Path) -> (Seen, Result<bool>, Vec<String>) {
        let archive = Archive::open(path).unwrap();
        let mut seen = Seen::default();
        let outcome = archive.visit(&mut seen).map(|flow| flow.is_continue());
        let mut ids = Vec::new();
        let _ = archive.ids(&mut |id| ids.push(id.to_owned()));
        (seen, outcome, ids)
    }

    #[test]
    fn the_images_of_an_archive_are_read_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, zipped) = (folder.path().join("x.tar"), folder.path().join("x.tgz"));
        std::fs::write(&plain, tar()).unwrap();
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&tar()).unwrap();
        std::fs::write(&zipped, zip.finish().unwrap()).unwrap();
        for path in [&plain, &zipped] {
            let (Seen(seen), outcome, ids) = visited(path);
            let id = |name: &str| format!("{}/{name}", path.display());
            assert_eq!(seen, [(id("a.png"), Ok(700)), (id("deep/b.jpg"), Ok(1000))]);
            assert!(outcome.unwrap());
            let all = [id("a.png"), id("deep/skipped.png"), id("deep/b.jpg")];
            assert!(ids == all || (path == &zipped && ids.is_empty()));
        }
    }

    #[test]
    fn a_damaged_compressed_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.gz");
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        zip.write_all(&tar()).unwrap();
        let mut bytes = zip.finish().unwrap();
        // A pixel of the first image: only the checksum tells.
        bytes[600] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (Seen(seen), outcome, _) = visited(&path);
        assert_eq!(seen.len(), 2);
        let told = outcome.unwrap_err().to_string();
        assert!(told.contains("it is damaged"), "{told}");
    }

    #[test]
    fn an_archive_that_ends_early_gives_what_comes_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let whole = tar();
        // Within the last image, whose 1000 bytes lie before two blocks of zeros.
        std::fs::write(&path, &whole[..whole.len() - 1024 - 512]).unwrap();
        let (Seen(seen), outcome, _) = visited(&path);
        assert_eq!(seen[0].1, Ok(700));
        let last = seen[1].1.as_ref().unwrap_err();
        assert!(last.contains("the archive ends within this image"), "{last}");
        let told = outcome.unwrap_err().to_string();
        assert!(told.contains("the archive is cut short"), "{told}");
        // Within an image that is not wanted: three blocks of headers and two of data come first.
        std::fs::write(&path, &whole[..512 * 6 + 100]).unwrap();
        let told = visited(&path).1.unwrap_err().to_string();
        assert!(told.contains("the archive is cut short"), "{told}");
        std::fs::write(&path, b"").unwrap();
        let told = visited(&path).1.unwrap_err().to_string();
        assert!(told.contains("the archive has no images"), "{told}");
        std::fs::write(&path, b"no archive".repeat(100)).unwrap();
        let (Seen(seen), outcome, _) = visited(&path);
        assert!(seen.is_empty());
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("the archive can't be read"), "{error}");
    }
}
