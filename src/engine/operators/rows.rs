//! Products that read only the rows of a matrix that count.

use kernels::{Matrix, product_of_rows};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType;

use super::{RuntimeThreads, bytes};
use crate::graph::fast::rows::OPERATOR;

/// The operator.
pub(super) struct ProductOfRows {
    pub(super) threads: usize,
}

impl Operator for ProductOfRows {
    type Kernel<'attr> = ProductKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [const { OperatorInput::required(TensorElementType::Float32) }; 2]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<ProductKernel> {
        Ok(ProductKernel { threads: self.threads })
    }
}

/// The operator in one session.
pub(super) struct ProductKernel {
    threads: usize,
}

impl Kernel for ProductKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let absent = || ort::Error::new(format!("{OPERATOR} takes two inputs and gives one output"));
        let (rows, matrix) = (context.input(0)?.ok_or_else(absent)?, context.input(1)?.ok_or_else(absent)?);
        let (rows_shape, rows) = rows.try_extract_tensor::<f32>()?;
        let matrix = matrix.downcast::<ort::value::DynTensorValueType>()?;
        let (&[count, inner], &[height, width]) = (&rows_shape[..], &matrix.shape()[..]) else {
            return Err(ort::Error::new(format!("{OPERATOR} multiplies matrices")));
        };
        if inner != height {
            return Err(ort::Error::new(format!(
                "{OPERATOR} can't multiply {inner} columns by {height} rows"
            )));
        }
        let mut output = context.output(0, [count, width])?.ok_or_else(absent)?;
        let matrix = Matrix { bytes: bytes(&matrix)?, rows: height as usize, columns: width as usize };
        let threads = RuntimeThreads { context, count: self.threads };
        product_of_rows(rows, matrix, output.try_extract_tensor_mut::<f32>()?.1, &threads);
        Ok(())
    }
}
