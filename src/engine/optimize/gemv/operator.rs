//! The custom operator `Gemv`.

use camlens_kernels::{Matrix, gemv, gemv_transposed};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, TensorElementType};

use super::pass::{OPERATOR, TRANSPOSED};
use crate::engine::optimize::tensors::{RuntimeThreads, bytes, floats, tensor, unused_output};

/// The operator.
pub(crate) struct Gemv {
    pub(crate) threads: usize,
}

impl Operator for Gemv {
    type Kernel<'attr> = GemvKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = OperatorInput::required(TensorElementType::Float32);
        [
            required,
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::optional(TensorElementType::Float32),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<GemvKernel> {
        let transposed = context.get::<i64>(TRANSPOSED).is_some_and(|transposed| transposed != 0);
        Ok(GemvKernel { threads: self.threads, transposed })
    }
}

/// The operator's kernel in one session.
pub(crate) struct GemvKernel {
    threads: usize,
    transposed: bool,
}

impl Kernel for GemvKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (input, matrix) = (tensor(context, 0)?, tensor(context, 1)?);
        let bias = context.input(2)?;
        let bias = bias.map(|bias| floats(&bias.downcast::<DynTensorValueType>()?)).transpose()?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let (Some((&wide, before)), &[rows, columns]) = (shape.split_last(), &matrix.shape()[..])
        else {
            return Err(ort::Error::new(format!("{OPERATOR} takes [.., K] and a matrix")));
        };
        let (read, made) = if self.transposed { (columns, rows) } else { (rows, columns) };
        if wide != read {
            return Err(ort::Error::new(format!(
                "{OPERATOR} cannot multiply {wide} columns by {read} rows"
            )));
        }
        let [rows, columns] = [rows, columns].map(usize::try_from);
        let (Ok(rows), Ok(columns)) = (rows, columns) else {
            return Err(ort::Error::new(format!("{OPERATOR} cannot take {}", matrix.shape())));
        };
        let mut output =
            context.output(0, [before, &[made]].concat())?.ok_or_else(unused_output)?;
        let matrix = Matrix { bytes: bytes(&matrix)?, rows, columns };
        let threads = RuntimeThreads { context, count: self.threads };
        let multiply = if self.transposed { gemv_transposed } else { gemv };
        multiply(
            input,
            matrix,
            bias.as_deref(),
            output.try_extract_tensor_mut::<f32>()?.1,
            &threads,
        )
        .map_err(ort::Error::new)
    }
}
