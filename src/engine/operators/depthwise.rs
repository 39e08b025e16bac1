//! Depthwise convolutions and their transposes.

use kernels::{Direction, Maps, Window, depthwise};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType;

use super::{RuntimeThreads, aligned, tensor, unread};
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
        [
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::required(TensorElementType::Float32),
        ]
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
        let direction = if transposed { Direction::Back } else { Direction::There };
        let padding = sizes(context, "output_padding")?;
        Ok(DepthwiseKernel { window, direction, after, padding, threads: self.threads })
    }
}

/// An attribute of `N` sizes.
fn sizes<const N: usize>(context: &KernelContext<'_>, name: &str) -> ort::Result<[usize; N]> {
    let values = context.get::<Vec<i64>>(name).unwrap_or_default();
    let values: Option<Vec<usize>> = values.into_iter().map(|value| usize::try_from(value).ok()).collect();
    let wrong = || ort::Error::new(format!("{OPERATOR} needs {N} sizes as {name}"));
    values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
}

/// The operator in one session.
pub(super) struct DepthwiseKernel {
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
        let (reach, pads) = ((kernel[axis] - 1) * dilations[axis] + 1, pads[axis] + self.after[axis]);
        match self.direction {
            Direction::There => Some((input + pads).checked_sub(reach)? / strides[axis] + 1),
            Direction::Back => {
                ((input.checked_sub(1)?) * strides[axis] + reach + self.padding[axis]).checked_sub(pads)
            }
        }
    }
}

impl Kernel for DepthwiseKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (input, weights) = (tensor(context, 0)?, tensor(context, 1)?);
        let wrong = || ort::Error::new(format!("{OPERATOR} can't take maps of {}", input.shape()));
        let &[images, channels, height, width] = &input.shape()[..] else { return Err(wrong()) };
        let from = [height as usize, width as usize];
        let [Some(h), Some(w)] = [0, 1].map(|axis| self.size(axis, from[axis])) else { return Err(wrong()) };
        let mut output = context.output(0, [images, channels, h as i64, w as i64])?.ok_or_else(unread)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let data = aligned(&input)?;
        let maps = Maps { data: &data, channels: channels as usize, size: from };
        let threads = RuntimeThreads { context, count: self.threads };
        let window = (self.window, self.direction);
        depthwise(maps, &aligned(&weights)?, window, ([h, w], output), &threads).map_err(ort::Error::new)
    }
}
