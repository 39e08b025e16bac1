//! Registers the kernels of `camlens-kernels` as custom operators of ONNX Runtime.
//!
//! All sessions of a model share its transformed weights, and every kernel runs on the runtime's
//! own threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use camlens_kernels::{ConvChain, ConvWeights};
use ort::operator::OperatorDomain;

use super::common::DOMAIN;
use super::guard::Guarded;
use super::{conv_chain, depthwise, elementwise, gemv};

/// Stops the running chain. The runtime checks its own termination flag only between two nodes.
#[derive(Clone, Default)]
pub(crate) struct Stop(pub(crate) Arc<AtomicBool>);

impl Stop {
    /// Requests that the running chain stop.
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Clears the request; called before each run.
    pub(crate) fn lower(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// How many ReLU gates and pooling choices of a run lie within rounding. `None` until a chain counts
/// them, which it does where a gradient goes through its max pooling.
#[derive(Clone, Default)]
pub(crate) struct DoubtfulGates(Arc<Mutex<Option<usize>>>);

impl DoubtfulGates {
    /// Adds those of one chain.
    pub(crate) fn add(&self, count: usize) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(sum.unwrap_or(0).saturating_add(count));
    }

    /// The sum since the last call.
    pub(crate) fn take(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The custom operators for the sessions of one model. Clones share its transformed weights.
#[derive(Clone)]
pub(crate) struct Operators {
    pub(crate) threads: usize,
    pub(crate) skip_zeros: bool,
    pub(crate) stop: Stop,
    pub(crate) doubtful_gates: DoubtfulGates,
    pub(crate) store: Arc<Store>,
}

/// What a chain is made of: equal chains are shared between sessions.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct ChainKey {
    /// Names of filters and biases, in order.
    pub(crate) weights: Vec<String>,
    /// 1 for each layer that a ReLU follows.
    pub(crate) relu: Vec<i64>,
    /// 1 for each layer that a max-pooling follows.
    pub(crate) max_pool: Vec<i64>,
}

/// Transformed weights and chains by name, for as long as a session uses them.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) weights: Mutex<HashMap<String, Weak<ConvWeights>>>,
    pub(crate) chains: Mutex<HashMap<ChainKey, Weak<ConvChain>>>,
}

impl Operators {
    /// Operators that use `threads` of the runtime's threads. With `skip_zeros` they leave out
    /// arithmetic that zeros in the input make redundant.
    pub(crate) fn new(threads: usize, skip_zeros: bool) -> Self {
        Self {
            threads,
            skip_zeros,
            stop: Stop::default(),
            doubtful_gates: DoubtfulGates::default(),
            store: Arc::default(),
        }
    }

    /// The same operators for sessions that run beside the others: with `threads` threads, and
    /// stopped and counted by themselves. They share the transformed weights.
    pub(crate) fn beside(&self, threads: usize) -> Self {
        Self {
            threads,
            stop: Stop::default(),
            doubtful_gates: DoubtfulGates::default(),
            ..self.clone()
        }
    }

    /// The operator domain for one session.
    pub(crate) fn domain(&self) -> ort::Result<OperatorDomain> {
        OperatorDomain::new(DOMAIN)?
            .add(Guarded(conv_chain::ConvChain(self.clone())))?
            .add(Guarded(gemv::Gemv { threads: self.threads }))?
            .add(Guarded(elementwise::Elementwise { threads: self.threads }))?
            .add(Guarded(depthwise::Depthwise { threads: self.threads }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_side_by_side_are_stopped_by_themselves() {
        let operators = Operators::new(2, true);
        let beside = operators.beside(1);
        assert_eq!(beside.threads, 1);
        assert!(Arc::ptr_eq(&beside.store, &operators.store));
        beside.stop.raise();
        assert!(!operators.stop.0.load(Ordering::SeqCst));
        beside.doubtful_gates.add(2);
        assert_eq!(operators.doubtful_gates.take(), None);
    }
}
