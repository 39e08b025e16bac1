//! One thread a model: it owns the model's sessions and runs one pass after another.
//!
//! Requests wait in a channel, pass by pass, so a Grad-CAM gets its turn between
//! two batches of somebody's Score-CAM. The session of the default layer stays;
//! those of other layers are made when they are first asked for and the least
//! recently used goes when there are too many.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::cancel::Cancel;
use super::operator::Operators;
use super::runtime::Runtime;
use super::session::{Outcome, Pass, Program};
use crate::error::{Error, Kind, Result};

/// Writes the program for a layer: its encoded model.
pub(super) type Compile = dyn Fn(&str) -> Result<Vec<u8>> + Send + Sync;

/// What the worker needs to make sessions.
pub(super) struct Source {
    pub(super) runtime: Runtime,
    pub(super) folder: std::path::PathBuf,
    pub(super) input: String,
    pub(super) compile: Box<Compile>,
    /// Whether the runtime may rewrite the graph.
    pub(super) optimise: bool,
    pub(super) operators: Operators,
    /// Sessions of other layers that are kept.
    pub(super) keep: usize,
}

struct Job {
    layer: Option<String>,
    pass: Pass,
    cancel: Cancel,
    reply: SyncSender<Result<Outcome>>,
}

/// The handle of a model's thread; dropping it ends the thread after the pass in progress.
pub(super) struct Worker {
    jobs: Option<std::sync::mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread with the session of the default layer, which is made before this returns.
    pub(super) fn start(name: &str, source: Source, default_layer: &str) -> Result<Self> {
        let (jobs, queue) = channel();
        let main = source.program(default_layer)?;
        let sessions = Sessions { source, default: (default_layer.to_owned(), main), others: Vec::new() };
        let thread = std::thread::Builder::new()
            .name(format!("model {name}"))
            .spawn(move || work(sessions, &queue))
            .map_err(|error| Error::internal("starting a model's thread", error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs one pass with the program of `layer`, or with any that is at hand, and waits for the outcome.
    pub(super) fn run(&self, layer: Option<&str>, pass: Pass, cancel: &Cancel) -> Result<Outcome> {
        let (reply, outcome) = sync_channel(1);
        let job = Job { layer: layer.map(str::to_owned), pass, cancel: cancel.clone(), reply };
        let gone = || Error::internal("running a pass", "the model's thread has ended");
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        outcome.recv().map_err(|_| gone())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has logged it; there is nobody to tell any more.
            let _ = thread.join();
        }
    }
}

fn work(mut sessions: Sessions, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        let outcome = job
            .cancel
            .check()
            .and_then(|()| sessions.program(job.layer.as_deref()))
            .and_then(|program| program.run(&job.pass, &job.cancel));
        // Who asked may be gone by now; then nobody reads this.
        let _ = job.reply.send(outcome);
    }
}

struct Sessions {
    source: Source,
    default: (String, Program),
    /// Most recently used first.
    others: Vec<(String, Program)>,
}

impl Sessions {
    fn program(&mut self, layer: Option<&str>) -> Result<&mut Program> {
        let Some(layer) = layer.filter(|layer| *layer != self.default.0) else {
            return Ok(&mut self.default.1);
        };
        let program = match self.others.iter().position(|(known, _)| known == layer) {
            Some(index) => self.others.remove(index),
            None => {
                // The old one goes first, so that there are never more than are kept.
                self.others.truncate(self.source.keep.max(1) - 1);
                (layer.to_owned(), self.source.program(layer)?)
            }
        };
        self.others.insert(0, program);
        Ok(&mut self.others[0].1)
    }
}

impl Source {
    fn program(&self, layer: &str) -> Result<Program> {
        let started = std::time::Instant::now();
        let model = (self.compile)(layer)?;
        let (folder, input) = (&self.folder, &self.input);
        let program = Program::new(&self.runtime, &model, folder, input, self.optimise, &self.operators)
            .map_err(|error| {
                Error::new(Kind::Internal, format!("the session of layer '{layer}'")).caused_by(error)
            })?;
        tracing::debug!(layer, duration_ms = started.elapsed().as_secs_f64() * 1e3, "made a session");
        Ok(program)
    }
}
