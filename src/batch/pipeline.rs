//! From sources to results, on several threads.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::job::{Finished, Job, caught};
use super::request::{BatchRequest, Observer, Summary};
use super::results::{Chunk, Results, RunState};
use super::shard::{Shard, id_hash};
use super::source::{Content, Source, Visitor};
use super::worker::Worker;
use crate::error::Result;

/// A chunk is written when it has as many images as the request says, this many bytes of maps, …
const CHUNK_BYTES: usize = 64 << 20;
/// … or is this old: what a kill may cost.
const CHUNK_AGE: Duration = Duration::from_secs(60);

/// Explains every image that has no record yet.
///
/// # Errors
/// Those of the folder of results, and of the runtime where they concern every image. What was
/// committed stays.
pub fn run(request: &BatchRequest<'_>, observer: &dyn Observer) -> Result<Summary> {
    let folder = request
        .shard
        .folder()
        .map_or_else(|| request.folder.to_owned(), |name| request.folder.join(name));
    let fresh = RunState {
        camlens: env!("CARGO_PKG_VERSION").to_owned(),
        settings: request.settings.clone(),
        warnings: request.model.warnings().iter().map(|warning| warning.detail.clone()).collect(),
        images: 0,
        failed: 0,
        map_files: 0,
        manifest_bytes: 0,
        complete: false,
    };
    let mut results =
        Results::open(&folder, fresh, request.resume, request.maps, request.map_type)?;
    // A second run of the same command finds a run even if nothing was committed yet.
    results.write_state()?;
    let done = results.done()?;
    observer.start(total(request), results.state.images);

    let worker = Worker { request, folder: &folder };
    let (jobs, queue) = sync_channel::<Job>(request.workers);
    // The workers alone hold it: once they have ended, nobody waits for an image any more.
    let queue = Arc::new(Mutex::new(queue));
    let (finished, results_queue) = sync_channel::<Result<Finished>>(request.workers);
    std::thread::scope(|scope| {
        for _ in 0..request.workers.max(1) {
            let (finished, queue) = (finished.clone(), Arc::clone(&queue));
            scope.spawn(move || worker.work(&queue, &finished));
        }
        drop((finished, queue));
        let shard = request.shard;
        let feed = Feed { shard, seen: done, repeated: 0, position: 0, jobs, observer };
        let reader = scope.spawn(move || feed.all(request.sources));
        let written = write(&mut results, &results_queue, request.images_per_file, observer);
        // After an error the others notice that nobody waits for them.
        drop(results_queue);
        let (complete, repeated) = reader.join().unwrap_or((false, 0));
        let explained = written?;
        results.state.complete = complete;
        results.write_state()?;
        Ok(Summary {
            images: results.state.images,
            failed: results.state.failed,
            explained,
            repeated,
            complete,
        })
    })
}

/// The number of images of this shard, if finding it is quick.
fn total(request: &BatchRequest<'_>) -> Option<u64> {
    let mut total = 0;
    let mut is_known = true;
    for source in request.sources {
        // An archive that can't be read is reported when its turn comes.
        is_known &=
            source.ids(&mut |id| total += u64::from(request.shard.includes(id))).unwrap_or(false);
    }
    is_known.then_some(total)
}

/// Takes finished images and writes them in chunks. Returns their number.
fn write(
    results: &mut Results,
    queue: &Receiver<Result<Finished>>,
    images_per_file: usize,
    observer: &dyn Observer,
) -> Result<u64> {
    let mut chunk = Chunk::default();
    let mut began = Instant::now();
    let mut explained = 0;
    loop {
        match queue.recv_timeout(CHUNK_AGE.saturating_sub(began.elapsed())) {
            Ok(finished) => {
                let Finished { position, record, maps, failed } = match finished {
                    Ok(finished) => finished,
                    Err(error) => {
                        // What the others have finished is not lost.
                        results.commit(chunk)?;
                        return Err(error);
                    }
                };
                observer.image(&record.id, failed.as_ref());
                if chunk.len() == 0 {
                    began = Instant::now();
                }
                chunk.push(position, record, maps);
                explained += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                if chunk.len() > 0 {
                    results.commit(chunk)?;
                }
                return Ok(explained);
            }
        }
        let is_due = chunk.len() >= images_per_file
            || chunk.bytes() >= CHUNK_BYTES
            || began.elapsed() >= CHUNK_AGE;
        if is_due {
            if chunk.len() > 0 {
                results.commit(std::mem::take(&mut chunk))?;
            }
            began = Instant::now();
        }
    }
}

/// Finds the images and hands those that have no record to the workers.
struct Feed<'a> {
    shard: Shard,
    /// The ids that have a record or get one, and whether this run has met them.
    seen: HashMap<u128, bool>,
    /// How many images had the id of one before.
    repeated: u64,
    position: u64,
    jobs: SyncSender<Job>,
    observer: &'a dyn Observer,
}

impl Feed<'_> {
    /// Whether all sources were read to their end, and how many images had the id of one before.
    fn all(mut self, sources: &[Source]) -> (bool, u64) {
        let mut is_whole = true;
        for source in sources {
            // A table is parsed by a library that may not have met such a file.
            match caught(|| source.visit(&mut self)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return (false, self.repeated),
                Err(error) => {
                    self.observer.source(&error);
                    is_whole = false;
                }
            }
        }
        (is_whole, self.repeated)
    }
}

impl Visitor for Feed<'_> {
    fn wants(&mut self, id: &str) -> bool {
        if !self.shard.includes(id) {
            return false;
        }
        match self.seen.insert(id_hash(id), true) {
            None => true,
            Some(is_of_this_run) => {
                if is_of_this_run {
                    self.repeated += 1;
                    self.observer.repeated(id);
                }
                false
            }
        }
    }

    fn take(&mut self, id: String, content: Result<Content>) -> ControlFlow<()> {
        let job = Job { position: self.position, id, content };
        self.position += 1;
        match self.jobs.send(job) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
