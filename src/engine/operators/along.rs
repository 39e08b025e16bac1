//! What a depthwise convolution does along the way: elementwise arithmetic on what it reads, and on
//! what it makes.
//!
//! [`crate::graph::fast::along`] says which inputs and attributes such a node has.

use camlens_kernels::{BoundExpression, Executor, Expression, InvalidArgument, Tensor};
use ort::operator::{ComputeContext, KernelContext};

use super::elementwise::expression;
use super::order::Order;
use super::{Numbers, Value, output, tensor};
use crate::graph::fast::along::{AFTER, BEFORE, HANDED, SOURCES};

/// The expressions of a node and the order of its inputs.
pub(super) struct Along {
    before: Option<Expression>,
    sources: usize,
    after: Option<(Expression, usize)>,
    inputs: usize,
    order: Order,
}

/// A node's inputs without its weights, each at its place.
pub(super) struct Inputs<'a> {
    /// What is worked out before; one tensor where nothing is.
    pub(super) sources: Vec<Tensor<'a>>,
    /// What is read afterwards.
    after: Vec<Tensor<'a>>,
}

impl Along {
    /// Reads a node's attributes.
    pub(super) fn new(context: &KernelContext<'_>) -> ort::Result<Self> {
        let count =
            |name: &str| context.get::<i64>(name).and_then(|count| usize::try_from(count).ok());
        let inputs = context.inputs()?.len();
        let sources = count(SOURCES).unwrap_or(1);
        let others = inputs.checked_sub(sources + 1);
        let others = others.ok_or_else(|| ort::Error::new("a convolution with too few inputs"))?;
        let before = expression(context, BEFORE, sources)?;
        let after = match count(HANDED) {
            Some(handed) => expression(context, AFTER, others + 1)?.map(|after| (after, handed)),
            None => None,
        };
        Ok(Self { before, sources, after, inputs, order: Order::of(context) })
    }

    /// The order in which all maps lie.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The weights and all other inputs of a run.
    pub(super) fn values<'a>(
        &self,
        context: &'a ComputeContext,
    ) -> ort::Result<(Value<'a>, Vec<Value<'a>>)> {
        let others = (0..self.inputs).filter(|&index| index != self.sources);
        let others = others.map(|index| tensor(context, index)).collect::<ort::Result<_>>()?;
        Ok((tensor(context, self.sources)?, others))
    }

    /// Each of those others at its place.
    pub(super) fn inputs<'a>(&self, numbers: &'a [Numbers<'_>]) -> Inputs<'a> {
        let mut tensors = numbers.iter().map(Numbers::tensor);
        let sources = tensors.by_ref().take(self.sources).collect();
        Inputs { sources, after: tensors.collect() }
    }

    /// The shape of what is convolved, and how its numbers are worked out, if they are.
    pub(super) fn source<'a>(
        &'a self,
        inputs: &Inputs<'a>,
    ) -> ort::Result<(Vec<usize>, Option<BoundExpression<'a>>)> {
        let shapes: Vec<&[usize]> = inputs.sources.iter().map(|tensor| tensor.shape).collect();
        let shape = Expression::broadcast_shape(&shapes).map_err(ort::Error::new)?;
        let before = self
            .before
            .as_ref()
            .map(|before| BoundExpression::new(before, None, &inputs.sources, &shape));
        Ok((shape, before.transpose().map_err(ort::Error::new)?))
    }

    /// Runs a convolution whose result has this shape, and what comes after it. `convolve` gets
    /// what comes after, and where the result goes.
    pub(super) fn run(
        &self,
        context: &ComputeContext,
        shape: &[usize],
        inputs: &Inputs<'_>,
        threads: &dyn Executor,
        convolve: impl Fn(Option<&BoundExpression<'_>>, &mut [f32]) -> Result<(), InvalidArgument>,
    ) -> ort::Result<()> {
        let mut wide = shape.to_vec();
        if self.after.is_some() {
            let shapes =
                std::iter::once(shape).chain(inputs.after.iter().map(|tensor| tensor.shape));
            wide = Expression::broadcast_shape(&shapes.collect::<Vec<_>>())
                .map_err(ort::Error::new)?;
        }
        let mut output = output(context, &self.order.told(&wide))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let done = match &self.after {
            None => convolve(None, output),
            Some((after, handed)) if wide == shape => {
                BoundExpression::new(after, Some(*handed), &inputs.after, shape)
                    .and_then(|after| convolve(Some(&after), output))
            }
            // What is broadcast to more numbers than it has is worked out first.
            Some((after, handed)) => {
                let mut own = vec![0.0; shape.iter().product()];
                convolve(None, &mut own).and_then(|()| {
                    let mut all = inputs.after.clone();
                    all.insert((*handed).min(all.len()), Tensor { data: &own, shape });
                    BoundExpression::new(after, None, &all, &wide)?.run(output, threads)
                })
            }
        };
        done.map_err(ort::Error::new)
    }
}
