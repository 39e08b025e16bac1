//! Depthwise convolutions and their transposes.

use camlens_kernels::{Direction, FeatureMaps, Window};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType;

use super::along::Along;
use super::order::Order;
use super::{Numbers, RuntimeThreads, aligned};
use crate::graph::fast::depthwise::{OPERATOR, TRANSPOSED};

/// The operator.
pub(super) struct Depthwise {
    pub(super) threads: usize,
}

impl Operator for Depthwise {
    type Kernel<'attr> = DepthwiseKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::variadic(2).homogenous(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<DepthwiseKernel> {
        let [top, left, bottom, right] = sizes(context, "pads")?;
        let window = Window {
            kernel: sizes(context, "kernel_shape")?,
            strides: sizes(context, "strides")?,
            dilations: sizes(context, "dilations")?,
            pads: [top, left],
        };
        let after = [bottom, right];
        let transposed = context.get::<i64>(TRANSPOSED).is_some_and(|transposed| transposed != 0);
        let direction = if transposed { Direction::Transposed } else { Direction::Forward };
        let padding = sizes(context, "output_padding")?;
        let along = Along::new(context)?;
        Ok(DepthwiseKernel { along, window, direction, after, padding, threads: self.threads })
    }
}

/// An attribute of `N` sizes.
fn sizes<const N: usize>(context: &KernelContext<'_>, name: &str) -> ort::Result<[usize; N]> {
    let values = context.get::<Vec<i64>>(name).unwrap_or_default();
    let values: Option<Vec<usize>> =
        values.into_iter().map(|value| usize::try_from(value).ok()).collect();
    let wrong = || ort::Error::new(format!("{OPERATOR} needs {N} sizes as {name}"));
    values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
}

/// The operator in one session.
pub(super) struct DepthwiseKernel {
    along: Along,
    window: Window,
    direction: Direction,
    /// Zeros behind the last row and column; on the way back, what is cut off there.
    after: [usize; 2],
    /// What the way back adds there.
    padding: [usize; 2],
    threads: usize,
}

impl DepthwiseKernel {
    /// The size of the output along an axis.
    fn size(&self, axis: usize, input: usize) -> Option<usize> {
        let Window { kernel, strides, dilations, pads } = self.window;
        let (reach, pads) =
            ((kernel[axis] - 1) * dilations[axis] + 1, pads[axis] + self.after[axis]);
        match self.direction {
            Direction::Forward => Some((input + pads).checked_sub(reach)? / strides[axis] + 1),
            Direction::Transposed => {
                ((input.checked_sub(1)?) * strides[axis] + reach + self.padding[axis])
                    .checked_sub(pads)
            }
        }
    }
}

impl Kernel for DepthwiseKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (weights, values) = self.along.values(context)?;
        let order = self.along.order();
        let numbers = Numbers::of(&values, order)?;
        let inputs = self.along.inputs(&numbers);
        let weights = aligned(&weights)?;
        let (shape, before) = self.along.source(&inputs)?;
        let wrong = || ort::Error::new(format!("{OPERATOR} can't take maps of {shape:?}"));
        let (channels, from) = match (order, shape.as_slice()) {
            (Order::Planes, &[_, channels, height, width]) => (channels, [height, width]),
            (Order::Blocks(_), &[_, blocks, height, width, lanes]) => {
                (blocks * lanes, [height, width])
            }
            _ => return Err(wrong()),
        };
        let [Some(h), Some(w)] = [0, 1].map(|axis| self.size(axis, from[axis])) else {
            return Err(wrong());
        };
        let threads = RuntimeThreads { context, count: self.threads };
        let job = camlens_kernels::DepthwiseConv {
            input: FeatureMaps { data: inputs.sources[0].data, channels, size: from },
            prologue: before.as_ref(),
            weights: &weights,
            window: self.window,
            direction: self.direction,
            output_size: [h, w],
            epilogue: None,
        };
        let mut made = shape.clone();
        made[2..4].copy_from_slice(&[h, w]);
        self.along.run(context, &made, &inputs, &threads, |after, output| {
            let job = camlens_kernels::DepthwiseConv { epilogue: after, ..job };
            match order {
                Order::Planes => job.run(output, &threads),
                Order::Blocks(lanes) => job.run_nchwc(lanes, output, &threads),
            }
        })
    }
}
