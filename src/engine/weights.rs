//! Gives sessions the weights of a model from the memory that its files are held in.
//!
//! ONNX Runtime is told about each weight twice: as an external initializer, which the optimizers
//! read, and as a shared one, which the kernels read. With the first alone it would copy all
//! weights for each session.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, TensorElementType};

use crate::memory;
use crate::model::onnx_file::Weight;
use onnx_gradient::proto::data_type;

/// A session with the memory of its weights.
pub(super) struct HeldSession {
    // Dropped first: it reads the weights.
    session: Session,
    _weights: Vec<Bytes>,
}

impl HeldSession {
    /// Opens a session of an encoded model.
    pub(super) fn open(
        mut builder: SessionBuilder,
        model: &[u8],
        weights: &[Weight],
    ) -> ort::Result<Self> {
        for weight in weights {
            let value = Arc::new(value(weight)?);
            builder = builder
                .with_external_initializer(&weight.name, Arc::clone(&value))
                .map_err(plain)?
                .with_initializer(&weight.name, value)
                .map_err(plain)?;
        }
        let session = builder.commit_from_memory(model)?;
        // The optimizers have worked on copies of weights.
        memory::trim();
        Ok(Self { session, _weights: weights.iter().map(|weight| weight.data.clone()).collect() })
    }
}

impl Deref for HeldSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for HeldSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

fn plain(error: ort::Error<SessionBuilder>) -> ort::Error {
    error.into()
}

/// A tensor in the memory of a weight, which must outlive it.
fn value(weight: &Weight) -> ort::Result<DynValue> {
    let kind = match weight.data_type {
        data_type::FLOAT => TensorElementType::Float32,
        data_type::UINT8 => TensorElementType::Uint8,
        data_type::INT8 => TensorElementType::Int8,
        data_type::UINT16 => TensorElementType::Uint16,
        data_type::INT16 => TensorElementType::Int16,
        data_type::INT32 => TensorElementType::Int32,
        data_type::INT64 => TensorElementType::Int64,
        data_type::BOOL => TensorElementType::Bool,
        data_type::FLOAT16 => TensorElementType::Float16,
        data_type::DOUBLE => TensorElementType::Float64,
        data_type::BFLOAT16 => TensorElementType::Bfloat16,
        other => return Err(ort::Error::new(format!("a weight of element type {other}"))),
    };
    let memory = MemoryInfo::default();
    let mut pointer = std::ptr::null_mut();
    // SAFETY: ONNX Runtime checks that the data is as long as the shape and the type need. It only
    // reads initializers. The value goes to a session that is dropped before the data.
    let status = unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            memory.ptr(),
            weight.data.as_ptr().cast_mut().cast(),
            weight.data.len(),
            weight.dims.as_ptr(),
            weight.dims.len(),
            kind.into(),
            &raw mut pointer,
        )
    };
    // SAFETY: the status is that of the call above, and is read once.
    unsafe { ort::Error::result_from_status(status) }?;
    let pointer = std::ptr::NonNull::new(pointer)
        .ok_or_else(|| ort::Error::new("a weight without a value"))?;
    // SAFETY: the value was made above and belongs to nobody else. Its memory is not the
    // allocator's, and ONNX Runtime does not free it.
    Ok(unsafe { DynValue::from_ptr(pointer, Some(&Allocator::default())) })
}
