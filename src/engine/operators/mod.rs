//! The crate `kernels` as operators of ONNX Runtime.
//!
//! [`crate::graph::fast`] puts the operators into a model's programs. All sessions
//! of a model share its rearranged weights, and all threads are the runtime's own.

mod along;
mod chain;
mod depthwise;
mod elementwise;
mod order;
mod products;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use camlens_kernels::{ConvChain, ConvWeights, Executor, Tensor};
use ort::operator::{ComputeContext, OperatorDomain};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef, ValueRefMut};

use crate::graph::fast::DOMAIN;
use order::Order;

/// Stops the chain that runs now; the runtime's own flag is only looked at between two nodes.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops it.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Called before each run.
    pub(super) fn lower(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// camlens's operators for the sessions of one model; clones share the model's rearranged weights.
#[derive(Clone)]
pub(super) struct Operators {
    threads: usize,
    skip_zeros: bool,
    stop: Stop,
    store: Arc<Store>,
}

/// Weights and chains by name, for as long as a session uses them.
#[derive(Default)]
struct Store {
    weights: Mutex<HashMap<String, Weak<ConvWeights>>>,
    chains: Mutex<HashMap<String, Weak<ConvChain>>>,
}

impl Operators {
    /// Operators that run on so many of the runtime's threads, and leave out what an image's zeros
    /// give anyway, or don't.
    pub(super) fn new(threads: usize, skip_zeros: bool) -> Self {
        Self { threads, skip_zeros, stop: Stop::default(), store: Arc::default() }
    }

    /// Them, as one session takes them.
    pub(super) fn domain(&self) -> ort::Result<OperatorDomain> {
        OperatorDomain::new(DOMAIN)?
            .add(chain::ConvolutionChain(self.clone()))?
            .add(products::LargeProduct { threads: self.threads })?
            .add(elementwise::Elementwise { threads: self.threads })?
            .add(depthwise::Depthwise { threads: self.threads })
    }

    /// What stops the chain that runs.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }
}

/// A tensor that the runtime hands over.
type Value<'a> = ValueRef<'a, DynTensorValueType>;

/// An input that an operator needs.
fn tensor<'a>(context: &'a ComputeContext, index: usize) -> ort::Result<Value<'a>> {
    let value = context.input(index)?;
    value.ok_or_else(|| ort::Error::new(format!("there is no input {index}")))?.downcast()
}

/// What an operator says whose output the runtime has no place for.
fn unread() -> ort::Error {
    ort::Error::new("an output that nobody reads")
}

/// The place for an operator's only output.
fn output<'a>(context: &'a ComputeContext, shape: &[usize]) -> ort::Result<ValueRefMut<'a>> {
    let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    context.output(0, sizes)?.ok_or_else(unread)
}

/// The bytes of a tensor of 32-bit floats.
///
/// A weight lies in the mapped model file where its exporter put it, aligned to nothing, so it
/// can't be taken as a slice of floats.
fn bytes<'a>(tensor: &'a Value<'_>) -> ort::Result<&'a [u8]> {
    if *tensor.data_type() != TensorElementType::Float32 {
        return Err(ort::Error::new("a tensor of camlens's operators is not one of 32-bit floats"));
    }
    let len = tensor.shape().num_elements() * size_of::<f32>();
    // SAFETY: the runtime keeps this many bytes there while the value lives.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), len) })
}

/// The numbers of a small tensor, as [`bytes`] finds them.
fn floats(tensor: &Value<'_>) -> ort::Result<Vec<f32>> {
    Ok(bytes(tensor)?.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect())
}

/// The numbers of a tensor where they lie, unless it is a weight in a file.
fn aligned<'a>(tensor: &'a Value<'_>) -> ort::Result<Cow<'a, [f32]>> {
    let bytes = bytes(tensor)?;
    // SAFETY: any bits are a number.
    let (before, numbers, _) = unsafe { bytes.align_to::<f32>() };
    Ok(if before.is_empty() { Cow::Borrowed(numbers) } else { Cow::Owned(floats(tensor)?) })
}

/// A tensor's sizes and numbers.
struct Numbers<'a> {
    shape: Vec<usize>,
    data: Cow<'a, [f32]>,
}

impl Numbers<'_> {
    /// Those of some values, whose maps lie in this order.
    fn of<'a>(values: &'a [Value<'_>], order: Order) -> ort::Result<Vec<Numbers<'a>>> {
        let numbers = |value: &'a Value<'_>| {
            let shape =
                value.shape().iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
            Ok(Numbers { shape: order.true_shape(shape)?, data: aligned(value)? })
        };
        values.iter().map(numbers).collect()
    }

    /// It, as expressions take it.
    fn tensor(&self) -> Tensor<'_> {
        Tensor { data: &self.data, shape: &self.shape }
    }
}

/// The runtime's own threads: others beside them would only take the cores from each other.
struct RuntimeThreads<'a> {
    context: &'a ComputeContext,
    count: usize,
}

impl Executor for RuntimeThreads<'_> {
    fn run(&self, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        // It fails only before the first piece, where the runtime has no threads to give.
        if count < 2 || self.context.par_for(count, count, piece).is_err() {
            (0..count).for_each(piece);
        }
    }

    fn threads(&self) -> usize {
        self.count
    }
}
