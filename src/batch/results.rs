//! The folder of results, which survives a kill at any moment.
//!
//! Results are written in chunks. A chunk is committed by the rename of `run.json`, which says how
//! many files of maps there are and how long the manifest is. What lies beyond that was not
//! committed: a resumed run cuts it off and makes it again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::maps::{self, MapFormat, MapRow, MapType};
use super::record::{Record, RecordId};
use super::shard::id_hash;
use crate::error::{Error, Kind, Result};

const STATE: &str = "run.json";
const MANIFEST: &str = "manifest.jsonl";
const LOCK: &str = ".lock";
/// A file of maps that is being written.
const PART: &str = ".maps.part";

/// What decides the results: a run can only be resumed with the same.
pub type RunSettings = BTreeMap<String, String>;

/// `run.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunState {
    /// The version that began the run.
    pub(super) camlens: String,
    pub(super) settings: RunSettings,
    /// The warnings about the model.
    pub(super) warnings: Vec<String>,
    /// Images with a record.
    pub(super) images: u64,
    /// Those among them that have no map.
    pub(super) failed: u64,
    /// Files of maps.
    pub(super) map_files: usize,
    /// The length of the manifest.
    pub(super) manifest_bytes: u64,
    /// Whether every image of the last run's arguments has a record.
    pub(super) complete: bool,
}

/// Images whose results are written together.
#[derive(Default)]
pub(super) struct Chunk {
    /// With the position of each image in the order of the run.
    images: Vec<(u64, Record, Vec<Array2<f32>>)>,
    bytes: usize,
}

impl Chunk {
    pub(super) fn push(&mut self, position: u64, record: Record, maps: Vec<Array2<f32>>) {
        self.bytes += maps.iter().map(|map| map.len() * size_of::<f32>()).sum::<usize>();
        self.images.push((position, record, maps));
    }

    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    /// The size of the maps in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The folder of results of one process.
pub(super) struct Results {
    folder: PathBuf,
    maps: Option<MapFormat>,
    kind: MapType,
    manifest: File,
    pub(super) state: RunState,
    /// Holds the lock until the process ends, however it ends.
    _lock: File,
}

impl Results {
    /// Opens a new folder, or with `resume` one that a run left.
    ///
    /// # Errors
    /// [`Kind::Option`] where there is a run that may not or cannot be resumed; [`Kind::Setup`]
    /// where the folder can't be written, or another process writes it.
    pub(super) fn open(
        folder: &Path,
        fresh: RunState,
        resume: bool,
        maps: Option<MapFormat>,
        kind: MapType,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| setup(folder, &error.to_string());
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = locked(folder)?;
        let state = match read_state(folder)? {
            Some(found) if resume => resumed(found, fresh, folder)?,
            Some(_) => {
                let detail = "there are results of a run already; --resume goes on with it";
                return Err(Error::new(Kind::Option, detail).at_path(folder));
            }
            None => fresh,
        };
        let manifest = open_manifest(folder, state.manifest_bytes)?;
        if let Some(format) = maps {
            // Written, but not committed.
            let stale = folder.join(map_file(state.map_files, format));
            if stale.exists() {
                std::fs::remove_file(&stale).map_err(failed)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), maps, kind, manifest, state, _lock: lock })
    }

    /// The images that have a record already, by the hash of their id; none is of this run.
    pub(super) fn done(&self) -> Result<HashMap<u128, bool>> {
        let failed = |error: std::io::Error| setup(&self.folder.join(MANIFEST), &error.to_string());
        let file = File::open(self.folder.join(MANIFEST)).map_err(failed)?;
        let lines = BufReader::new(file.take(self.state.manifest_bytes)).lines();
        let mut done = HashMap::new();
        for line in lines {
            let record: RecordId = serde_json::from_str(&line.map_err(failed)?)
                .map_err(|error| setup(&self.folder.join(MANIFEST), &error.to_string()))?;
            done.insert(id_hash(&record.id), false);
        }
        Ok(done)
    }

    /// Writes a chunk: its maps, its records, and then that they are there.
    ///
    /// # Errors
    /// [`Kind::Setup`] if the disk is full or fails; what was committed before stays.
    pub(super) fn commit(&mut self, chunk: Chunk) -> Result<()> {
        let mut images = chunk.images;
        // Threads finish in any order.
        images.sort_unstable_by_key(|(position, ..)| *position);
        if let Some(format) = self.maps {
            let file = map_file(self.state.map_files, format);
            let records = images.iter_mut().flat_map(|(_, record, _)| &mut record.maps);
            for (row, record) in records.enumerate() {
                (record.file, record.row) = (Some(file.clone()), Some(row));
            }
            let rows = images.iter().flat_map(|(_, record, maps)| {
                let id = record.id.as_str();
                record.maps.iter().zip(maps).map(move |(record, map)| MapRow { id, record, map })
            });
            let rows: Vec<MapRow<'_>> = rows.collect();
            if !rows.is_empty() {
                self.write_maps(format, &rows)?;
                self.state.map_files += 1;
            }
        }
        self.append(images.iter().map(|(_, record, _)| record))?;
        self.state.images += images.len() as u64;
        let failed = images.iter().filter(|(_, record, _)| record.error.is_some());
        self.state.failed += failed.count() as u64;
        self.write_state()
    }

    /// Writes a file of maps under its name once it is complete.
    fn write_maps(&self, format: MapFormat, rows: &[MapRow<'_>]) -> Result<()> {
        let path = self.folder.join(map_file(self.state.map_files, format));
        let part = self.folder.join(PART);
        let failed = |error: std::io::Error| setup(&path, &error.to_string());
        let file = File::create(&part).map_err(failed)?;
        let written = maps::write(&file, format, self.kind, rows)
            .map_err(|error| error.at_path(&path))
            .and_then(|()| file.sync_all().map_err(failed))
            .and_then(|()| std::fs::rename(&part, &path).map_err(failed));
        if written.is_err() {
            // What it takes may be what a full disk lacks for the rest.
            let _ = std::fs::remove_file(&part);
        }
        written
    }

    fn append<'r>(&mut self, records: impl Iterator<Item = &'r Record>) -> Result<()> {
        let path = self.folder.join(MANIFEST);
        let failed = |error: std::io::Error| setup(&path, &error.to_string());
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)
                .map_err(|error| Error::internal("writing a record", error))?;
            lines.push(b'\n');
        }
        self.manifest.write_all(&lines).map_err(failed)?;
        self.manifest.sync_all().map_err(failed)?;
        self.state.manifest_bytes += lines.len() as u64;
        Ok(())
    }

    /// Writes `run.json` under its name once it is complete.
    pub(super) fn write_state(&self) -> Result<()> {
        let path = self.folder.join(STATE);
        let part = self.folder.join(".run.json.part");
        let text = serde_json::to_string_pretty(&self.state)
            .map_err(|error| Error::internal("writing the state", error))?;
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| setup(&path, &error.to_string()))
    }
}

fn setup(path: &Path, reason: &str) -> Error {
    Error::new(Kind::Setup, reason.to_owned()).at_path(path)
}

fn map_file(number: usize, format: MapFormat) -> String {
    format!("maps-{number:05}.{}", format.extension())
}

/// Two processes in one folder would write over each other's results.
fn locked(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| setup(&path, &error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(setup(folder, "another camlens writes here now")),
        // A file system without locks.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn read_state(folder: &Path) -> Result<Option<RunState>> {
    let path = folder.join(STATE);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| setup(&path, &format!("this is not the state of a run: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(setup(&path, &error.to_string())),
    }
}

/// The state of a run that goes on, if it would give the same results.
fn resumed(found: RunState, fresh: RunState, folder: &Path) -> Result<RunState> {
    let value = |settings: &RunSettings, name: &String| {
        settings.get(name).cloned().unwrap_or_else(|| "none".to_owned())
    };
    let mut names = found.settings.keys().chain(fresh.settings.keys());
    if let Some(name) = names.find(|name| found.settings.get(*name) != fresh.settings.get(*name)) {
        let detail = format!(
            "this run began with another {name}: {}, not {}; name another folder for new results",
            value(&found.settings, name),
            value(&fresh.settings, name)
        );
        return Err(Error::new(Kind::Option, detail).at_path(folder));
    }
    Ok(RunState { complete: false, ..found })
}

/// The manifest, cut to what was committed, to be written at its end.
fn open_manifest(folder: &Path, committed: u64) -> Result<File> {
    let path = folder.join(MANIFEST);
    let failed = |error: std::io::Error| setup(&path, &error.to_string());
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found < committed {
        let detail = format!(
            "the manifest has {found} bytes, and {STATE} knows of {committed}: it was cut or \
             replaced"
        );
        return Err(setup(&path, &detail));
    }
    file.set_len(committed).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok(file)
}
