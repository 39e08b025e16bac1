//! One thread a model: it owns the model's sessions and runs one pass after another.
//!
//! Requests wait in a channel, pass by pass, so a Grad-CAM gets its turn between
//! two batches of somebody's Score-CAM. The session of the default layer stays;
//! those of other layers, and of tails, are made when they are first asked for and the least
//! recently used goes when there are too many.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::cancel::CancellationToken;
use super::optimize::operators::Operators;
use super::runtime::Runtime;
use super::session::{CompiledProgram, PassOutput, ProgramSession, RunInputs};
use crate::error::{Error, Kind, Result};

/// Which program of a model: each has a session of its own. Layers are named by their tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProgramKey {
    /// All of it, with the activations and gradients of some layers.
    Whole(Vec<String>),
    /// The same for one layer, and it gives what the layer's tail reads besides the activation.
    Head(String),
    /// Only what stands behind a layer.
    Tail(String),
}

/// Writes a program.
pub(super) type Compile = dyn Fn(&ProgramKey) -> Result<CompiledProgram> + Send + Sync;

/// What the worker needs to make sessions.
pub(super) struct SessionFactory {
    pub(super) runtime: Runtime,
    pub(super) folder: std::path::PathBuf,
    pub(super) compile: Box<Compile>,
    /// Whether the runtime may rewrite the graph.
    pub(super) optimise: bool,
    pub(super) operators: Operators,
    /// Sessions besides the default layer's that are kept.
    pub(super) keep: usize,
}

struct Job {
    key: Option<ProgramKey>,
    call: RunInputs,
    cancel: CancellationToken,
    reply: SyncSender<Result<Vec<PassOutput>>>,
}

/// The handle of a model's thread; dropping it ends the thread after the pass in progress.
pub(super) struct Worker {
    jobs: Option<std::sync::mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread with the session of the default layer, which is made before this returns.
    pub(super) fn start(name: &str, source: SessionFactory, default_layer: &str) -> Result<Self> {
        let (jobs, queue) = channel();
        let key = ProgramKey::Whole(vec![default_layer.to_owned()]);
        let main = source.program(&key)?;
        let sessions = Sessions { source, default: (key, main), others: Vec::new() };
        let thread = std::thread::Builder::new()
            .name(format!("model {name}"))
            .spawn(move || work(sessions, &queue))
            .map_err(|error| Error::internal("starting a model's thread", error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs this program, or any that is at hand, and waits for what it gives: an outcome for each
    /// of its layers.
    pub(super) fn run(
        &self,
        key: Option<ProgramKey>,
        call: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let (reply, outcome) = sync_channel(1);
        let job = Job { key, call, cancel: cancel.clone(), reply };
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
            .and_then(|()| sessions.program(job.key.as_ref()))
            .and_then(|program| program.run(&job.call, &job.cancel));
        // Who asked may be gone by now; then nobody reads this.
        let _ = job.reply.send(outcome);
    }
}

struct Sessions {
    source: SessionFactory,
    default: (ProgramKey, ProgramSession),
    /// Most recently used first.
    others: Vec<(ProgramKey, ProgramSession)>,
}

impl Sessions {
    fn program(&mut self, key: Option<&ProgramKey>) -> Result<&mut ProgramSession> {
        let Some(key) = key.filter(|key| **key != self.default.0) else {
            return Ok(&mut self.default.1);
        };
        let program = match self.others.iter().position(|(known, _)| known == key) {
            Some(index) => self.others.remove(index),
            None => {
                // The old one goes first, so that there are never more than are kept.
                self.others.truncate(self.source.keep.max(1) - 1);
                (key.clone(), self.source.program(key)?)
            }
        };
        self.others.insert(0, program);
        Ok(&mut self.others[0].1)
    }
}

impl SessionFactory {
    fn program(&self, key: &ProgramKey) -> Result<ProgramSession> {
        let started = std::time::Instant::now();
        let compiled = (self.compile)(key)?;
        let program = ProgramSession::new(
            &self.runtime,
            compiled,
            &self.folder,
            self.optimise,
            &self.operators,
        )
        .map_err(|error| {
            Error::new(Kind::Internal, format!("the session of {key:?}")).caused_by(error)
        })?;
        let duration_ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(?key, duration_ms, "made a session");
        Ok(program)
    }
}
