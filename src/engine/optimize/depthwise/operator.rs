//! The custom operator `Depthwise`: a depthwise convolution or its transpose.

use camlens_kernels::{Direction, FeatureMaps, Window};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType;

use super::pass::{OPERATOR, TRANSPOSED};
use crate::engine::optimize::conv_fusion::FusedExpressions;
use crate::engine::optimize::memory_layout::MemoryLayout;
use crate::engine::optimize::tensors::{RuntimeThreads, TensorData, aligned};

/// The operator.
pub(crate) struct Depthwise {
    pub(crate) threads: usize,
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
        let pads_end = [bottom, right];
        let transposed = context.get::<i64>(TRANSPOSED).is_some_and(|transposed| transposed != 0);
        let direction = if transposed { Direction::Transposed } else { Direction::Forward };
        let output_padding = sizes(context, "output_padding")?;
        let fused = FusedExpressions::new(context)?;
        Ok(DepthwiseKernel {
            fused,
            window,
            direction,
            pads_end,
            output_padding,
            threads: self.threads,
        })
    }
}

/// An attribute that holds `N` sizes.
fn sizes<const N: usize>(context: &KernelContext<'_>, name: &str) -> ort::Result<[usize; N]> {
    let values = context.get::<Vec<i64>>(name).unwrap_or_default();
    let values: Option<Vec<usize>> =
        values.into_iter().map(|value| usize::try_from(value).ok()).collect();
    let wrong = || ort::Error::new(format!("{OPERATOR} needs {N} values in attribute {name}"));
    values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
}

/// The operator's kernel in one session.
pub(crate) struct DepthwiseKernel {
    fused: FusedExpressions,
    window: Window,
    direction: Direction,
    /// Padding below and to the right. For a transposed convolution, what is cropped there.
    pads_end: [usize; 2],
    /// `output_padding` of a transposed convolution: rows and columns that are added.
    output_padding: [usize; 2],
    threads: usize,
}

impl DepthwiseKernel {
    /// The output's size along an axis; `None` if the input is too small, or the size too large.
    fn output_size(&self, axis: usize, input: usize) -> Option<usize> {
        let Window { kernel, strides, dilations, pads } = self.window;
        let reach = kernel[axis].checked_sub(1)?.checked_mul(dilations[axis])?.checked_add(1)?;
        let pads = pads[axis].checked_add(self.pads_end[axis])?;
        match self.direction {
            Direction::Forward => input
                .checked_add(pads)?
                .checked_sub(reach)?
                .checked_div(strides[axis])?
                .checked_add(1),
            Direction::Transposed => input
                .checked_sub(1)?
                .checked_mul(strides[axis])?
                .checked_add(reach)?
                .checked_add(self.output_padding[axis])?
                .checked_sub(pads),
        }
    }
}

impl Kernel for DepthwiseKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (weights, values) = self.fused.values(context)?;
        let layout = self.fused.layout();
        let numbers = TensorData::read_all(&values, layout)?;
        let inputs = self.fused.inputs(&numbers);
        let weights = aligned(&weights)?;
        let (shape, prologue) = self.fused.prologue(&inputs)?;
        let wrong =
            || ort::Error::new(format!("{OPERATOR} cannot take an input of shape {shape:?}"));
        let (channels, input_size) = match (layout, shape.as_slice()) {
            (MemoryLayout::Nchw, &[_, channels, height, width]) => (channels, [height, width]),
            (MemoryLayout::Nchwc(_), &[_, blocks, height, width, block]) => {
                (blocks * block, [height, width])
            }
            _ => return Err(wrong()),
        };
        let [Some(h), Some(w)] = [0, 1].map(|axis| self.output_size(axis, input_size[axis])) else {
            return Err(wrong());
        };
        let threads = RuntimeThreads { context, count: self.threads };
        let input = inputs.prologue.first().ok_or_else(wrong)?;
        let job = camlens_kernels::DepthwiseConv {
            input: FeatureMaps { data: input.data, channels, size: input_size },
            prologue: prologue.as_ref(),
            weights: &weights,
            window: self.window,
            direction: self.direction,
            output_size: [h, w],
            epilogue: None,
        };
        let mut made = shape.clone();
        made[2..4].copy_from_slice(&[h, w]);
        self.fused.run(context, &made, &inputs, &threads, |epilogue, output| {
            let job = camlens_kernels::DepthwiseConv { epilogue, ..job };
            match layout {
                MemoryLayout::Nchw => job.run(output, &threads),
                MemoryLayout::Nchwc(block) => job.run_nchwc(block, output, &threads),
            }
        })
    }
}
