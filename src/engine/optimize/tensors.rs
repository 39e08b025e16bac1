//! Tensors of the runtime as slices, and the runtime's threads as an executor.

use std::borrow::Cow;

use camlens_kernels::{Executor, Tensor};
use ort::operator::ComputeContext;
use ort::value::{DynTensorValueType, TensorElementType, ValueRef, ValueRefMut};

use super::guard::carry_panics;
use super::memory_layout::MemoryLayout;

/// A tensor that ONNX Runtime passes to a kernel.
pub(crate) type Value<'a> = ValueRef<'a, DynTensorValueType>;

/// A required input of an operator.
pub(crate) fn tensor<'a>(context: &'a ComputeContext, index: usize) -> ort::Result<Value<'a>> {
    let value = context.input(index)?;
    value.ok_or_else(|| ort::Error::new(format!("input {index} is missing")))?.downcast()
}

/// The error for an output that the runtime did not allocate.
pub(crate) fn unused_output() -> ort::Error {
    ort::Error::new("the runtime did not allocate an output")
}

/// Allocates an operator's only output.
pub(crate) fn output<'a>(
    context: &'a ComputeContext,
    shape: &[usize],
) -> ort::Result<ValueRefMut<'a>> {
    context.output(0, dims(shape)?)?.ok_or_else(unused_output)
}

/// A tensor's dimensions as sizes.
pub(crate) fn sizes(dims: &[i64]) -> ort::Result<Vec<usize>> {
    let wrong = |_| ort::Error::new(format!("{dims:?} is not the shape of a tensor"));
    dims.iter().map(|&size| usize::try_from(size).map_err(wrong)).collect()
}

/// Sizes as the dimensions of a tensor.
pub(crate) fn dims(sizes: &[usize]) -> ort::Result<Vec<i64>> {
    let wrong = |_| ort::Error::new(format!("{sizes:?} is not the shape of a tensor"));
    sizes.iter().map(|&size| i64::try_from(size).map_err(wrong)).collect()
}

/// The bytes of a tensor of 32-bit floats.
///
/// A weight may lie anywhere in the mapped model file, without alignment, so it cannot be borrowed
/// as `&[f32]`.
pub(crate) fn bytes<'a>(tensor: &'a Value<'_>) -> ort::Result<&'a [u8]> {
    if *tensor.data_type() != TensorElementType::Float32 {
        return Err(ort::Error::new("custom operators take 32-bit floats only"));
    }
    let len = tensor.shape().num_elements() * size_of::<f32>();
    if len == 0 {
        // The runtime may give an empty tensor no address.
        return Ok(&[]);
    }
    // SAFETY: the runtime keeps this many bytes valid while the value lives.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), len) })
}

/// The elements of a small tensor, copied; see [`bytes`].
pub(crate) fn floats(tensor: &Value<'_>) -> ort::Result<Vec<f32>> {
    Ok(bytes(tensor)?.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect())
}

/// The elements of a tensor, borrowed if they are aligned and copied otherwise.
pub(crate) fn aligned<'a>(tensor: &'a Value<'_>) -> ort::Result<Cow<'a, [f32]>> {
    let bytes = bytes(tensor)?;
    // SAFETY: every bit pattern is a valid `f32`.
    let (unaligned, elements, _) = unsafe { bytes.align_to::<f32>() };
    Ok(if unaligned.is_empty() { Cow::Borrowed(elements) } else { Cow::Owned(floats(tensor)?) })
}

/// A tensor's shape and elements.
pub(crate) struct TensorData<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Cow<'a, [f32]>,
}

impl TensorData<'_> {
    /// Reads several tensors that share a memory layout.
    pub(crate) fn read_all<'a>(
        values: &'a [Value<'_>],
        layout: MemoryLayout,
    ) -> ort::Result<Vec<TensorData<'a>>> {
        let read = |value: &'a Value<'_>| {
            let shape = layout.blocked_shape(sizes(value.shape())?)?;
            Ok(TensorData { shape, data: aligned(value)? })
        };
        values.iter().map(read).collect()
    }

    /// The tensor as `camlens-kernels` takes it.
    pub(crate) fn tensor(&self) -> Tensor<'_> {
        Tensor { data: &self.data, shape: &self.shape }
    }
}

/// ONNX Runtime's intra-op threads. Further threads would compete with them for the cores.
pub(crate) struct RuntimeThreads<'a> {
    pub(crate) context: &'a ComputeContext,
    pub(crate) count: usize,
}

// SAFETY: ONNX Runtime's `ParallelFor` calls the task once with each index below the count, and
// returns when all calls have; if it fails, it has called none.
unsafe impl Executor for RuntimeThreads<'_> {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        if count < 2 {
            return (0..count).for_each(task);
        }
        carry_panics(task, |task| {
            // `par_for` fails only before the first task, when the runtime has no threads to offer.
            if self.context.par_for(count, count, task).is_err() {
                (0..count).for_each(task);
            }
        });
    }

    fn threads(&self) -> usize {
        self.count
    }
}
