//! Tensors of the runtime as slices, and the runtime's threads as an executor.

use std::borrow::Cow;

use camlens_kernels::{Pool, Tensor};
use ort::operator::ComputeContext;
use ort::value::{DynTensorValueType, TensorElementType, ValueRef, ValueRefMut};

use super::memory_layout::MemoryLayout;

/// A tensor that the runtime hands over.
pub(crate) type Value<'a> = ValueRef<'a, DynTensorValueType>;

/// An input that an operator needs.
pub(crate) fn tensor<'a>(context: &'a ComputeContext, index: usize) -> ort::Result<Value<'a>> {
    let value = context.input(index)?;
    value.ok_or_else(|| ort::Error::new(format!("there is no input {index}")))?.downcast()
}

/// What an operator says whose output the runtime has no place for.
pub(crate) fn unread() -> ort::Error {
    ort::Error::new("an output that nobody reads")
}

/// The place for an operator's only output.
pub(crate) fn output<'a>(
    context: &'a ComputeContext,
    shape: &[usize],
) -> ort::Result<ValueRefMut<'a>> {
    let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    context.output(0, sizes)?.ok_or_else(unread)
}

/// The bytes of a tensor of 32-bit floats.
///
/// A weight lies in the mapped model file where its exporter put it, aligned to nothing, so it
/// can't be taken as a slice of floats.
pub(crate) fn bytes<'a>(tensor: &'a Value<'_>) -> ort::Result<&'a [u8]> {
    if *tensor.data_type() != TensorElementType::Float32 {
        return Err(ort::Error::new("a tensor of camlens's operators is not one of 32-bit floats"));
    }
    let len = tensor.shape().num_elements() * size_of::<f32>();
    // SAFETY: the runtime keeps this many bytes there while the value lives.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), len) })
}

/// The numbers of a small tensor, as [`bytes`] finds them.
pub(crate) fn floats(tensor: &Value<'_>) -> ort::Result<Vec<f32>> {
    Ok(bytes(tensor)?.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect())
}

/// The numbers of a tensor where they lie, unless it is a weight in a file.
pub(crate) fn aligned<'a>(tensor: &'a Value<'_>) -> ort::Result<Cow<'a, [f32]>> {
    let bytes = bytes(tensor)?;
    // SAFETY: any bits are a number.
    let (before, numbers, _) = unsafe { bytes.align_to::<f32>() };
    Ok(if before.is_empty() { Cow::Borrowed(numbers) } else { Cow::Owned(floats(tensor)?) })
}

/// A tensor's sizes and numbers.
pub(crate) struct Numbers<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Cow<'a, [f32]>,
}

impl Numbers<'_> {
    /// Those of some values, whose maps lie in this order.
    pub(crate) fn of<'a>(
        values: &'a [Value<'_>],
        order: MemoryLayout,
    ) -> ort::Result<Vec<Numbers<'a>>> {
        let numbers = |value: &'a Value<'_>| {
            let shape =
                value.shape().iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
            Ok(Numbers { shape: order.true_shape(shape)?, data: aligned(value)? })
        };
        values.iter().map(numbers).collect()
    }

    /// It, as expressions take it.
    pub(crate) fn tensor(&self) -> Tensor<'_> {
        Tensor { data: &self.data, shape: &self.shape }
    }
}

/// The runtime's own threads: others beside them would only take the cores from each other.
pub(crate) struct RuntimeThreads<'a> {
    pub(crate) context: &'a ComputeContext,
    pub(crate) count: usize,
}

impl Pool for RuntimeThreads<'_> {
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
