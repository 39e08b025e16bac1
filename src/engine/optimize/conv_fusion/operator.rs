//! Evaluates the prologue and epilogue of a convolution.
//!
//! [`super::pass`] defines the inputs and attributes of such a node.

use camlens_kernels::{BoundExpression, Executor, Expression, InvalidArgument, Tensor};
use ort::operator::{ComputeContext, KernelContext};

use super::pass::{CONV_OUTPUT_INDEX, EPILOGUE, PROLOGUE, PROLOGUE_INPUTS};
use crate::engine::optimize::elementwise::expression_from_attributes;
use crate::engine::optimize::memory_layout::MemoryLayout;
use crate::engine::optimize::tensors::{TensorData, Value, output, tensor};

/// The prologue and epilogue of a node, and the layout of its inputs.
pub(crate) struct FusedExpressions {
    prologue: Option<Expression>,
    prologue_inputs: usize,
    epilogue: Option<(Expression, usize)>,
    inputs: usize,
    layout: MemoryLayout,
}

/// A node's inputs without its filter.
pub(crate) struct Inputs<'a> {
    /// Inputs of the prologue; a single tensor where there is none.
    pub(crate) prologue: Vec<Tensor<'a>>,
    /// Inputs of the epilogue, without the convolution's own output.
    epilogue: Vec<Tensor<'a>>,
}

impl FusedExpressions {
    /// Reads a node's attributes.
    pub(crate) fn new(context: &KernelContext<'_>) -> ort::Result<Self> {
        let count =
            |name: &str| context.get::<i64>(name).and_then(|count| usize::try_from(count).ok());
        let inputs = context.inputs()?.len();
        let prologue_inputs = count(PROLOGUE_INPUTS).unwrap_or(1);
        let others = inputs.checked_sub(prologue_inputs + 1);
        let others = others.ok_or_else(|| ort::Error::new("a convolution has too few inputs"))?;
        let prologue = expression_from_attributes(context, PROLOGUE, prologue_inputs)?;
        let epilogue = match count(CONV_OUTPUT_INDEX) {
            Some(conv_output) => expression_from_attributes(context, EPILOGUE, others + 1)?
                .map(|epilogue| (epilogue, conv_output)),
            None => None,
        };
        Ok(Self {
            prologue,
            prologue_inputs,
            epilogue,
            inputs,
            layout: MemoryLayout::from_attributes(context),
        })
    }

    /// The layout of all feature maps.
    pub(crate) fn layout(&self) -> MemoryLayout {
        self.layout
    }

    /// The filter and all other inputs of a run.
    pub(crate) fn values<'a>(
        &self,
        context: &'a ComputeContext,
    ) -> ort::Result<(Value<'a>, Vec<Value<'a>>)> {
        let others = (0..self.inputs).filter(|&index| index != self.prologue_inputs);
        let others = others.map(|index| tensor(context, index)).collect::<ort::Result<_>>()?;
        Ok((tensor(context, self.prologue_inputs)?, others))
    }

    /// Assigns the other inputs to prologue and epilogue.
    pub(crate) fn inputs<'a>(&self, numbers: &'a [TensorData<'_>]) -> Inputs<'a> {
        let mut tensors = numbers.iter().map(TensorData::tensor);
        let prologue = tensors.by_ref().take(self.prologue_inputs).collect();
        Inputs { prologue, epilogue: tensors.collect() }
    }

    /// The shape of the convolution's input, and the prologue that computes it, if there is one.
    pub(crate) fn prologue<'a>(
        &'a self,
        inputs: &Inputs<'a>,
    ) -> ort::Result<(Vec<usize>, Option<BoundExpression<'a>>)> {
        let shapes: Vec<&[usize]> = inputs.prologue.iter().map(|tensor| tensor.shape).collect();
        let shape = Expression::broadcast_shape(&shapes).map_err(ort::Error::new)?;
        let prologue = self
            .prologue
            .as_ref()
            .map(|prologue| BoundExpression::new(prologue, None, &inputs.prologue, &shape));
        Ok((shape, prologue.transpose().map_err(ort::Error::new)?))
    }

    /// Runs a convolution whose output has this shape, then its epilogue. `convolve` receives the
    /// epilogue that it can evaluate on the fly, and the output buffer.
    pub(crate) fn run(
        &self,
        context: &ComputeContext,
        shape: &[usize],
        inputs: &Inputs<'_>,
        threads: &dyn Executor,
        convolve: impl Fn(Option<&BoundExpression<'_>>, &mut [f32]) -> Result<(), InvalidArgument>,
    ) -> ort::Result<()> {
        let mut wide = shape.to_vec();
        if self.epilogue.is_some() {
            let shapes =
                std::iter::once(shape).chain(inputs.epilogue.iter().map(|tensor| tensor.shape));
            wide = Expression::broadcast_shape(&shapes.collect::<Vec<_>>())
                .map_err(ort::Error::new)?;
        }
        let mut output = output(context, &self.layout.declared_shape(&wide))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let done = match &self.epilogue {
            None => convolve(None, output),
            Some((epilogue, conv_output)) if wide == shape => {
                BoundExpression::new(epilogue, Some(*conv_output), &inputs.epilogue, shape)
                    .and_then(|epilogue| convolve(Some(&epilogue), output))
            }
            // An output that is broadcast to a larger shape is computed into a buffer first.
            Some((epilogue, conv_output)) => {
                let mut own = vec![0.0; shape.iter().product()];
                convolve(None, &mut own).and_then(|()| {
                    let mut all = inputs.epilogue.clone();
                    all.insert((*conv_output).min(all.len()), Tensor { data: &own, shape });
                    BoundExpression::new(epilogue, None, &all, &wide)?.run(output, threads)
                })
            }
        };
        done.map_err(ort::Error::new)
    }
}
