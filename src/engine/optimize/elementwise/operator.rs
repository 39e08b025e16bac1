//! The custom operator `Elementwise`.

use camlens_kernels::{BoundExpression, Expression, Op, Step, Tensor};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType;

use super::pass::{CONSTANTS, OPERATOR, STEPS, SUMS};
use crate::engine::optimize::memory_layout::MemoryLayout;
use crate::engine::optimize::tensors::{RuntimeThreads, TensorData, output, tensor};

/// The operator.
pub(crate) struct Elementwise {
    pub(crate) threads: usize,
}

impl Operator for Elementwise {
    type Kernel<'attr> = ElementwiseKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::variadic(1).homogenous(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(
        &self,
        context: &KernelContext<'attr>,
    ) -> ort::Result<ElementwiseKernel> {
        let inputs = context.inputs()?.len();
        let missing = || ort::Error::new(format!("{OPERATOR} has no steps"));
        let expression = expression_from_attributes(context, "", inputs)?.ok_or_else(missing)?;
        let sums = context.get::<i64>(SUMS).is_some_and(|is_set| is_set != 0);
        Ok(ElementwiseKernel {
            expression,
            inputs,
            layout: MemoryLayout::from_attributes(context),
            sums,
            threads: self.threads,
        })
    }
}

/// Reads the expression in a node's attributes whose names begin with `prefix`; `None` if there is
/// none.
pub(crate) fn expression_from_attributes(
    context: &KernelContext<'_>,
    prefix: &str,
    inputs: usize,
) -> ort::Result<Option<Expression>> {
    let Some(steps) = context.get::<Vec<i64>>(format!("{prefix}{STEPS}")) else { return Ok(None) };
    let wrong = || ort::Error::new("an expression has an invalid step");
    let steps = steps.as_chunks().0.iter().map(|&[op, operands @ ..]: &[i64; 4]| {
        let op =
            usize::try_from(op).ok().and_then(|op| Op::ALL.get(op).copied()).ok_or_else(wrong)?;
        let operands = operands.map(|operand| usize::try_from(operand).unwrap_or(usize::MAX));
        Ok(Step { op, operands })
    });
    let steps = steps.collect::<ort::Result<_>>()?;
    let constants = context.get::<Vec<f32>>(format!("{prefix}{CONSTANTS}")).unwrap_or_default();
    Expression::new(inputs, constants, steps).map(Some).map_err(ort::Error::new)
}

/// The operator's kernel in one session.
pub(crate) struct ElementwiseKernel {
    expression: Expression,
    inputs: usize,
    layout: MemoryLayout,
    /// Whether the output is the sum of each channel.
    sums: bool,
    threads: usize,
}

impl Kernel for ElementwiseKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let values = (0..self.inputs)
            .map(|index| tensor(context, index))
            .collect::<ort::Result<Vec<_>>>()?;
        let numbers = TensorData::read_all(&values, self.layout)?;
        let tensors: Vec<Tensor<'_>> = numbers.iter().map(TensorData::tensor).collect();
        let shapes: Vec<&[usize]> = tensors.iter().map(|tensor| tensor.shape).collect();
        let shape = Expression::broadcast_shape(&shapes).map_err(ort::Error::new)?;
        let bound = BoundExpression::new(&self.expression, None, &tensors, &shape)
            .map_err(ort::Error::new)?;
        let threads = RuntimeThreads { context, count: self.threads };
        let mut output_shape = shape.clone();
        if let (true, [_, _, height, width, _]) = (self.sums, output_shape.as_mut_slice()) {
            (*height, *width) = (1, 1);
        }
        let mut output = output(context, &self.layout.declared_shape(&output_shape))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let too_large = || ort::Error::new(format!("{OPERATOR} cannot sum {shape:?}"));
        let done = match (self.sums, shape.as_slice()) {
            (true, &[_, _, height, width, block]) => {
                let positions = height.checked_mul(width).ok_or_else(too_large)?;
                bound.channel_sums([positions, block], output, &threads)
            }
            _ => bound.run(output, &threads),
        };
        done.map_err(ort::Error::new)
    }
}
