//! Sessions in which passes of a small model run side by side, each with its part of the threads.
//!
//! The operators of a small model are too short for many threads: two passes with one thread each
//! end sooner than one after the other with two, and the threads of a pass wait for each other when
//! the image of another request is decoded on their cores. [`Turns`](super::turns::Turns) decides
//! when passes run side by side.
//!
//! There is one session for each part, of the default layer's program. All are opened and run when
//! the model is loaded, so that no request waits for that and their memory is known. They share the
//! weights with the model's other sessions. Passes run on the caller's thread.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cancellation::CancellationToken;
use super::compiler::ProgramKey;
use super::session::{PassOutput, PassRequest, ProgramSession, RunInputs};
use super::settings::Parts;
use super::worker::SessionFactory;
use crate::error::{Error, Result};
use crate::processor::thread_time;

/// The longest pass of one image with a part of the threads. Other passes wait for as long as that:
/// it is the time that a batch of a long request may take, too.
const LONGEST_PASS: Duration = Duration::from_millis(50);
/// The model's passes are small enough if one of so many is.
const ATTEMPTS: usize = 3;
/// A model whose pass takes so many times as long with all threads is not tried. That is measured
/// by the clock, which goes on while other processes have the cores.
const PATIENCE: u32 = 8;

/// The sessions; none for a model that is not small.
#[derive(Default)]
pub(super) struct SideSessions {
    /// By part.
    sessions: Vec<Mutex<ProgramSession>>,
}

impl SideSessions {
    /// Opens them if the model is small, where `pass_time` is the time of `pass` with all threads.
    ///
    /// # Errors
    /// Those of opening a session and running it.
    pub(super) fn open(
        factory: &SessionFactory,
        layer: &str,
        parts: Parts,
        pass: &PassRequest,
        pass_time: Duration,
    ) -> Result<Self> {
        let mut sessions = Vec::with_capacity(parts.count);
        if pass_time > PATIENCE * LONGEST_PASS {
            return Ok(Self { sessions });
        }
        let key = ProgramKey::Whole(vec![layer.to_owned()]);
        for part in 0..parts.count {
            // Each has operators of its own, because a pass is stopped by its session's.
            let mut session = factory.beside(parts.threads).open(&key)?;
            let mut fastest = run(&mut session, pass)?;
            if part == 0 {
                for _ in 0..ATTEMPTS {
                    fastest = fastest.min(run(&mut session, pass)?);
                }
                let pass_ms = fastest.as_secs_f64() * 1e3;
                let is_small = fastest <= LONGEST_PASS;
                tracing::debug!(pass_ms, is_small, threads = parts.threads, "a pass with a part");
                if !is_small {
                    break;
                }
            }
            sessions.push(Mutex::new(session));
        }
        Ok(Self { sessions })
    }

    /// Whether a pass may run in one of them.
    pub(super) fn serves(&self, key: Option<&ProgramKey>, default_layer: &str) -> bool {
        let is_default = match key {
            None => true,
            Some(ProgramKey::Whole(layers)) => *layers == [default_layer],
            Some(ProgramKey::Head(_) | ProgramKey::Tail(_)) => false,
        };
        is_default && !self.sessions.is_empty()
    }

    /// Runs a pass with a part of the threads.
    ///
    /// # Errors
    /// Those of [`ProgramSession::run`].
    pub(super) fn run(
        &self,
        part: usize,
        inputs: &RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let session = self.sessions.get(part);
        let session = session
            .ok_or_else(|| Error::internal("running a pass", format!("no session {part}")))?;
        // Turns give a part to one pass at a time, so nobody waits here.
        session.lock().unwrap_or_else(PoisonError::into_inner).run(inputs, cancel)
    }
}

/// How long a pass takes on a core of its own.
fn run(session: &mut ProgramSession, pass: &PassRequest) -> Result<Duration> {
    let began = thread_time();
    session.run(&pass.clone().into(), &CancellationToken::default())?;
    Ok(thread_time().saturating_sub(began))
}
