//! A thread that explains images, one after the other.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::job::{Finished, Job, caught};
use super::record::Record;
use super::request::BatchRequest;
use super::shard::id_hash;
use super::source::Content;
use crate::app::{self, ExplainRequest, Operation};
use crate::digest::sha256;
use crate::engine::{CancellationToken, JobClass};
use crate::error::{Error, Kind, Result};

/// Longer names of pictures are cut and numbered, in bytes.
const LONGEST_NAME: usize = 180;

/// Explains images, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub(super) request: &'a BatchRequest<'a>,
    /// The folder of results.
    pub(super) folder: &'a Path,
}

impl Worker<'_> {
    pub(super) fn work(
        self,
        queue: &Mutex<Receiver<Job>>,
        finished: &SyncSender<Result<Finished>>,
    ) {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if finished.send(self.one(job)).is_err() {
                return;
            }
        }
    }

    /// An image with its results; an error is one that every image would have.
    fn one(self, job: Job) -> Result<Finished> {
        let Job { position, id, content } = job;
        let image = match content.and_then(Content::read) {
            Ok(image) => image,
            Err(error) => return failed(position, id, None, error),
        };
        let digest = sha256(&image);
        let _in_work = self.request.model.begin(JobClass::Short);
        match caught(|| self.explain(&id, image)) {
            Ok((explained, picture)) => {
                let of_model = self.request.model.warnings();
                let mut record = Record::explained(id, digest, &explained, of_model);
                record.picture = picture;
                Ok(Finished { position, record, maps: explained.maps, failed: None })
            }
            Err(error) => failed(position, id, Some(digest), error),
        }
    }

    /// The maps of an image, and the name of its picture, which is written.
    fn explain(self, id: &str, image: Bytes) -> Result<(app::Explained, Option<String>)> {
        let BatchRequest { model, options, pictures, limits, .. } = *self.request;
        let request =
            ExplainRequest { operation: Operation::Explain, image, options: options.clone() };
        let cancel = CancellationToken::default();
        let explained = app::execute_maps(model, &request, pictures, limits, &cancel)?;
        let Some((options, picture)) = pictures.zip(explained.picture.as_ref()) else {
            return Ok((explained, None));
        };
        let name = picture_name(id, options.rendering.format.extension());
        let path = self.folder.join(&name);
        let parent = path.parent().unwrap_or(self.folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, &picture.body))
            .map_err(|error| {
                let kind = match error.kind() {
                    // The id of a row may be no name for a file.
                    ErrorKind::InvalidFilename | ErrorKind::InvalidInput => Kind::Malformed,
                    _ => Kind::Setup,
                };
                Error::new(kind, error.to_string()).at_path(&path)
            })?;
        Ok((explained, Some(name)))
    }
}

/// The record of an image that failed, unless the failure is not the image's.
fn failed(position: u64, id: String, digest: Option<String>, error: Error) -> Result<Finished> {
    if matches!(error.kind(), Kind::Setup | Kind::Cancelled) {
        return Err(error);
    }
    let record = Record::failed(id, digest, &error);
    Ok(Finished { position, record, maps: Vec::new(), failed: Some(error) })
}

/// The path of an image's picture: that of the image, within the folder of results. Different ids
/// have different ones, but for `./`.
fn picture_name(id: &str, extension: &str) -> String {
    let parts = id.split('/').filter(|part| *part != ".").map(|part| match part {
        "" => "%2F".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => part.replace('%', "%25").replace('\0', "%00"),
    });
    let parts: Vec<String> = parts.map(shortened).collect();
    format!("pictures/{}.{extension}", parts.join("/"))
}

/// A name that file systems take, which end at 255 bytes.
fn shortened(name: String) -> String {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let end = (0..=LONGEST_NAME).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    format!("{}%{:032x}", &name[..end], id_hash(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_lies_within_the_folder_of_results() {
        for (id, expected) in [
            ("in/a.jpg", "pictures/in/a.jpg.png"),
            ("./in/a.jpg", "pictures/in/a.jpg.png"),
            ("/in/a.jpg", "pictures/%2F/in/a.jpg.png"),
            ("a.tar//in/100%.jpg", "pictures/a.tar/%2F/in/100%25.jpg.png"),
            ("../../etc/x", "pictures/%2E%2E/%2E%2E/etc/x.png"),
            ("a\0b", "pictures/a%00b.png"),
            ("x.parquet#7", "pictures/x.parquet#7.png"),
        ] {
            assert_eq!(picture_name(id, "png"), expected, "{id}");
        }
    }

    #[test]
    fn long_names_stay_different() {
        let name = |end: &str| picture_name(&format!("{}{end}", "ä".repeat(140)), "png");
        assert!(name("1").len() < 255, "{}", name("1").len());
        assert_ne!(name("1"), name("2"));
    }
}
