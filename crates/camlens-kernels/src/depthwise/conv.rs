//! [`DepthwiseConv`], and its `[N, C, H, W]` implementation.

use super::correlate::{Correlate, correlate_for};
use super::plan::Plan;
use super::plane_scratch::PlaneScratch;
use super::types::{Direction, FeatureMaps, MIN_EVALUATION_LEN, Window};
use crate::elementwise::BoundExpression;
use crate::error::InvalidArgument;
use crate::executor::{Executor, for_each_init};
use crate::shared_mut::SharedMut;
use crate::simd::Isa;
use crate::sizes::product;

/// A depthwise convolution with elementwise arithmetic fused before and after it.
///
/// The prologue computes the convolution's input, and the epilogue transforms its output, while
/// the values are in the cache.
///
/// ```
/// use camlens_kernels::{DepthwiseConv, Direction, FeatureMaps, Serial, Window};
///
/// let ones = [1.0; 9];
/// let conv = DepthwiseConv {
///     input: FeatureMaps { data: &ones, channels: 1, size: [3, 3] },
///     prologue: None,
///     weights: &[1.0; 9],
///     window: Window { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1] },
///     direction: Direction::Forward,
///     output_size: [3, 3],
///     epilogue: None,
/// };
/// let mut output = [0.0; 9];
/// conv.run(&mut output, &Serial)?;
/// assert_eq!(output, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
/// # Ok::<(), camlens_kernels::InvalidArgument>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv<'a> {
    /// The input. With a prologue, that expression computes the values, and `data` is not read.
    pub input: FeatureMaps<'a>,
    /// Computes the input; its result has the input's shape.
    pub prologue: Option<&'a BoundExpression<'a>>,
    /// One filter per channel, `[C, kh, kw]`.
    pub weights: &'a [f32],
    /// How the filters move over the maps: over the input forward, over the output transposed.
    pub window: Window,
    /// Whether to convolve or to apply the transpose.
    pub direction: Direction,
    /// H' and W' of the output `[N, C, H', W']`.
    pub output_size: [usize; 2],
    /// Transforms the output, which it reads as its streamed input.
    pub epilogue: Option<&'a BoundExpression<'a>>,
}

impl DepthwiseConv<'_> {
    /// Computes `output`, `[N, C, H', W']`.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, or a kernel size, stride or dilation is 0.
    pub fn run(&self, output: &mut [f32], executor: &dyn Executor) -> Result<(), InvalidArgument> {
        self.run_with(correlate_for(Isa::detect()), output, executor)
    }

    pub(super) fn run_with(
        &self,
        correlate: Correlate,
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        let Self { input, prologue, weights, window, direction, output_size, epilogue } = *self;
        let channels = input.channels;
        let (in_area, out_area) = (product(&input.size)?, product(&output_size)?);
        if channels == 0 || in_area == 0 || out_area == 0 {
            return if output.is_empty() { Ok(()) } else { Err(empty_maps()) };
        }
        let in_len = prologue.map_or(input.data.len(), BoundExpression::len);
        let planes = in_len / in_area;
        let filter = weights.len() / channels;
        if in_len != planes * in_area
            || !planes.is_multiple_of(channels)
            || output.len() != product(&[planes, out_area])?
            || epilogue.is_some_and(|epilogue| epilogue.len() != output.len())
            || weights.len() != channels * filter
        {
            return Err(wrong_lengths());
        }
        let plan = Plan::new(window, direction, filter, input.size, output_size)?;
        let output = SharedMut::new(output);
        // Several small planes make one task, so that expressions are evaluated on enough elements.
        let planes_per_task = MIN_EVALUATION_LEN.div_ceil(in_area.max(out_area));
        let init = || {
            let (prologue, epilogue) = (
                prologue.map(BoundExpression::evaluator),
                epilogue.map(BoundExpression::evaluator),
            );
            let source = vec![0.0; if prologue.is_some() { planes_per_task * in_area } else { 0 }];
            let result = vec![0.0; if epilogue.is_some() { planes_per_task * out_area } else { 0 }];
            (PlaneScratch::new(&plan, output_size), prologue, epilogue, source, result)
        };
        let tasks = planes.div_ceil(planes_per_task);
        for_each_init(executor, planes, tasks, init, |state, task| {
            let (scratch, prologue, epilogue, source, result) = state;
            let first = task * planes_per_task;
            let count = planes_per_task.min(planes - first);
            let source = match prologue {
                Some(prologue) => {
                    prologue.run(first * in_area, &[], &mut source[..count * in_area]);
                    &source[..]
                }
                None => &input.data[first * in_area..],
            };
            // SAFETY: tasks write disjoint planes, all inside the output.
            let output = unsafe {
                std::slice::from_raw_parts_mut(output.get().add(first * out_area), count * out_area)
            };
            let to =
                if epilogue.is_some() { &mut result[..count * out_area] } else { &mut *output };
            for (index, (from, to)) in
                source.chunks_exact(in_area).zip(to.chunks_exact_mut(out_area)).enumerate()
            {
                let channel = (first + index) % channels;
                scratch.load(&plan, from, input.size[1]);
                scratch.convolve(
                    correlate,
                    &plan,
                    &weights[channel * plan.filter..][..plan.filter],
                );
                scratch.store(&plan, to, output_size[1]);
            }
            if let Some(epilogue) = epilogue {
                epilogue.run(first * out_area, &result[..count * out_area], output);
            }
        });
        Ok(())
    }
}

/// The error for an output that has elements where the input or a map has none.
pub(super) fn empty_maps() -> InvalidArgument {
    InvalidArgument::new("a depthwise convolution of empty maps has an output that is not empty")
}

/// The error for slices whose lengths do not match.
pub(super) fn wrong_lengths() -> InvalidArgument {
    InvalidArgument::new("a depthwise convolution's slices are not as long as their shapes say")
}
