//! The crate `kernels` as operators of ONNX Runtime.
//!
//! [`crate::engine::optimize`] puts the operators into a model's programs. All sessions
//! of a model share its rearranged weights, and all threads are the runtime's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use camlens_kernels::{Chain, Weights};
use ort::operator::OperatorDomain;

use super::common::DOMAIN;
use super::{conv_chain, depthwise, elementwise, gemv};

/// Stops the chain that runs now; the runtime's own flag is only looked at between two nodes.
#[derive(Clone, Default)]
pub(crate) struct Stop(pub(crate) Arc<AtomicBool>);

impl Stop {
    /// Stops it.
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Called before each run.
    pub(crate) fn lower(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// camlens's operators for the sessions of one model; clones share the model's rearranged weights.
#[derive(Clone)]
pub(crate) struct Operators {
    pub(crate) threads: usize,
    pub(crate) skip_zeros: bool,
    pub(crate) stop: Stop,
    pub(crate) store: Arc<Store>,
}

/// Weights and chains by name, for as long as a session uses them.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) weights: Mutex<HashMap<String, Weak<Weights>>>,
    pub(crate) chains: Mutex<HashMap<String, Weak<Chain>>>,
}

impl Operators {
    /// Operators that run on so many of the runtime's threads, and leave out what an image's zeros
    /// give anyway, or don't.
    pub(crate) fn new(threads: usize, skip_zeros: bool) -> Self {
        Self { threads, skip_zeros, stop: Stop::default(), store: Arc::default() }
    }

    /// Them, as one session takes them.
    pub(crate) fn domain(&self) -> ort::Result<OperatorDomain> {
        OperatorDomain::new(DOMAIN)?
            .add(conv_chain::ConvolutionChain(self.clone()))?
            .add(gemv::LargeProduct { threads: self.threads })?
            .add(elementwise::Elementwise { threads: self.threads })?
            .add(depthwise::Depthwise { threads: self.threads })
    }

    /// What stops the chain that runs.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }
}
