//! Products with large matrices, without what is multiplied by zero.

use camlens_kernels::{Matrix, gemv, gemv_transposed};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, TensorElementType};

use super::{RuntimeThreads, bytes, floats, tensor, unread};
use crate::graph::fast::products::{OPERATOR, TRANSPOSED};

/// The operator.
pub(super) struct LargeProduct {
    pub(super) threads: usize,
}

impl Operator for LargeProduct {
    type Kernel<'attr> = ProductKernel;

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

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<ProductKernel> {
        let transposed = context.get::<i64>(TRANSPOSED).is_some_and(|transposed| transposed != 0);
        Ok(ProductKernel { threads: self.threads, transposed })
    }
}

/// The operator in one session.
pub(super) struct ProductKernel {
    threads: usize,
    transposed: bool,
}

impl Kernel for ProductKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (input, matrix) = (tensor(context, 0)?, tensor(context, 1)?);
        let bias = context.input(2)?;
        let bias = bias.map(|bias| floats(&bias.downcast::<DynTensorValueType>()?)).transpose()?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let (Some((&wide, before)), &[rows, columns]) = (shape.split_last(), &matrix.shape()[..])
        else {
            return Err(ort::Error::new(format!("{OPERATOR} multiplies matrices")));
        };
        let (read, made) = if self.transposed { (columns, rows) } else { (rows, columns) };
        if wide != read {
            return Err(ort::Error::new(format!(
                "{OPERATOR} can't multiply {wide} columns by {read} rows"
            )));
        }
        let mut output = context.output(0, [before, &[made]].concat())?.ok_or_else(unread)?;
        let matrix =
            Matrix { bytes: bytes(&matrix)?, rows: rows as usize, columns: columns as usize };
        let threads = RuntimeThreads { context, count: self.threads };
        let multiply = if self.transposed { gemv_transposed } else { gemv };
        multiply(
            input,
            matrix,
            bias.as_deref(),
            output.try_extract_tensor_mut::<f32>()?.1,
            &threads,
        );
        Ok(())
    }
}
