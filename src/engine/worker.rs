//! The worker thread of a model: it owns the model's sessions and runs one pass at a time.
//!
//! Passes wait in a channel one by one, so a Grad-CAM runs between two batches of another request's
//! Score-CAM. The default layer's session is always open. Those of other layers and of tails are
//! opened when they are first needed, and the least recently used is closed when there are too
//! many.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::cancellation::CancellationToken;
use super::compiler::{ProgramCompiler, ProgramKey};
use super::optimize::operators::Operators;
use super::runtime::Runtime;
use super::session::{PassOutput, ProgramSession, RunInputs};
use crate::error::{Error, Kind, Result};

/// Opens the sessions of a model.
#[derive(Clone)]
pub(super) struct SessionFactory {
    pub(super) runtime: Runtime,
    pub(super) compiler: Arc<ProgramCompiler>,
    /// Whether the runtime may optimise the graph.
    pub(super) optimise: bool,
    pub(super) operators: Operators,
    /// How many sessions may be open besides the default layer's.
    pub(super) capacity: usize,
}

struct Job {
    key: Option<ProgramKey>,
    inputs: RunInputs,
    cancel: CancellationToken,
    reply: SyncSender<Result<Vec<PassOutput>>>,
}

/// The handle of a worker thread; dropping it ends the thread after the pass in progress.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Opens the default layer's session and starts the thread.
    pub(super) fn start(name: &str, factory: SessionFactory, default_layer: &str) -> Result<Self> {
        let (jobs, queue) = channel();
        let key = ProgramKey::Whole(vec![default_layer.to_owned()]);
        let session = factory.open(&key)?;
        let sessions = Sessions { factory, default: (key, session), others: Vec::new() };
        let thread = std::thread::Builder::new()
            .name(format!("model {name}"))
            .spawn(move || work(sessions, &queue))
            .map_err(|error| Error::internal("starting a model's thread", error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs a program and waits for its outputs, one for each of its layers. Without a key it runs
    /// the default layer's program.
    pub(super) fn run(
        &self,
        key: Option<ProgramKey>,
        inputs: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let (reply, outputs) = sync_channel(1);
        let job = Job { key, inputs, cancel: cancel.clone(), reply };
        let gone = || Error::internal("running a pass", "the model's thread has ended");
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        outputs.recv().map_err(|_| gone())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been logged, and nobody waits for its result.
            let _ = thread.join();
        }
    }
}

fn work(mut sessions: Sessions, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        let outputs = (job.cancel.check())
            .and_then(|()| sessions.get(job.key.as_ref()))
            .and_then(|session| session.run(&job.inputs, &job.cancel));
        // Sending fails when the caller has panicked; then nobody waits for the outputs.
        let _ = job.reply.send(outputs);
    }
}

struct Sessions {
    factory: SessionFactory,
    default: (ProgramKey, ProgramSession),
    /// Most recently used first.
    others: Vec<(ProgramKey, ProgramSession)>,
}

impl Sessions {
    fn get(&mut self, key: Option<&ProgramKey>) -> Result<&mut ProgramSession> {
        let Some(key) = key.filter(|key| **key != self.default.0) else {
            return Ok(&mut self.default.1);
        };
        let session = match self.others.iter().position(|(known, _)| known == key) {
            Some(index) => self.others.remove(index),
            None => {
                // The old session is closed first, so that there are never too many.
                self.others.truncate(self.factory.capacity.max(1) - 1);
                (key.clone(), self.factory.open(key)?)
            }
        };
        self.others.insert(0, session);
        Ok(&mut self.others[0].1)
    }
}

impl SessionFactory {
    /// A factory of sessions that run beside this one's, with so many threads.
    pub(super) fn beside(&self, threads: usize) -> Self {
        let runtime = self.runtime.with_threads(threads);
        Self { runtime, operators: self.operators.beside(threads), ..self.clone() }
    }

    pub(super) fn open(&self, key: &ProgramKey) -> Result<ProgramSession> {
        let started = Instant::now();
        self.compiler.check_files()?;
        let compiled = self.compiler.compile(key)?;
        let session = ProgramSession::new(&self.runtime, compiled, self.optimise, &self.operators)
            .map_err(|error| {
                Error::new(Kind::Internal, format!("opening the session of {key:?}"))
                    .caused_by(error)
            })?;
        let duration_ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(?key, duration_ms, "opened a session");
        Ok(session)
    }
}
