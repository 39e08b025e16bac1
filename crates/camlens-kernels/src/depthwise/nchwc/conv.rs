//! The NCHWc implementation of [`DepthwiseConv`].

use super::line_ring::LineRing;
use super::row_kernel::{ColumnGroup, RowKernel, row_kernel_for};
use crate::block16::Block16;
use crate::depthwise::conv::{DepthwiseConv, empty_maps, wrong_lengths};
use crate::depthwise::plan::Plan;
use crate::depthwise::types::MIN_EVALUATION_LEN;
use crate::elementwise::BoundExpression;
use crate::error::InvalidArgument;
use crate::executor::{Executor, for_each_init};
use crate::shared_mut::SharedMut;
use crate::simd::Isa;
use crate::sizes::product;

/// Fewest lines of a map that are worth a task.
const MIN_LINES_PER_TASK: usize = 8;

impl DepthwiseConv<'_> {
    /// Computes `output` `[N, C/c, H', W', c]` from an input `[N, C/c, H, W, c]` and weights
    /// `[C/c, kh, kw, c]`, where the channel block c is one of [`NCHWC_BLOCKS`] and
    /// `input.channels` a multiple of it. Prologue and epilogue see these five dimensions.
    ///
    /// # Errors
    /// When a slice is not as long as its shape says, a kernel size, stride or dilation is 0, the
    /// channels do not fill their blocks, or `block` is not a supported block size.
    ///
    /// [`NCHWC_BLOCKS`]: crate::NCHWC_BLOCKS
    pub fn run_nchwc(
        &self,
        block: usize,
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        let kernel = row_kernel_for(Isa::detect(), block).ok_or_else(|| {
            InvalidArgument::new(format!("{block} is not a supported channel block size"))
        })?;
        self.run_nchwc_with((kernel, block), output, executor)
    }

    pub(in crate::depthwise) fn run_nchwc_with(
        &self,
        (kernel, lanes): (RowKernel, usize),
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        let Self { input, prologue, weights, window, direction, output_size, epilogue } = *self;
        let in_len = product(&[input.size[0], input.size[1], lanes])?;
        let out_len = product(&[output_size[0], output_size[1], lanes])?;
        let blocks = input.channels / lanes;
        if blocks == 0 || in_len == 0 || out_len == 0 {
            return if output.is_empty() { Ok(()) } else { Err(empty_maps()) };
        }
        let total = prologue.map_or(input.data.len(), BoundExpression::len);
        let maps = total / in_len;
        let filter = weights.len() / (blocks * lanes);
        if !input.channels.is_multiple_of(lanes)
            || total != maps * in_len
            || !maps.is_multiple_of(blocks)
            || output.len() != product(&[maps, out_len])?
            || epilogue.is_some_and(|epilogue| epilogue.len() != output.len())
            || weights.len() != blocks * filter * lanes
        {
            return Err(wrong_lengths());
        }
        let plan = Plan::new(window, direction, filter, input.size, output_size)?;
        if maps == 0 {
            return Ok(());
        }
        let [in_line, out_line] = [input.size[1], output_size[1]].map(|width| width * lanes);
        let bands = (2 * executor.threads().max(1))
            .div_ceil(maps)
            .min(output_size[0].div_ceil(MIN_LINES_PER_TASK));
        // Several short lines are computed together, so that expressions are evaluated on enough
        // elements.
        let lines_at_once = MIN_EVALUATION_LEN.div_ceil(out_line).min(output_size[0]);
        let column_groups = ColumnGroup::all(&plan.axes[1], output_size[1], lanes);
        let output = SharedMut::new(output);
        let init = || {
            let ring = LineRing::new(&plan, input.size, lines_at_once, lanes);
            let lines = vec![0.0; if prologue.is_some() { ring.capacity() * in_line } else { 0 }];
            let sums = vec![Block16::ZERO; Block16::count_for(lines_at_once * out_line)];
            let prologue = prologue.map(BoundExpression::evaluator);
            let epilogue = epilogue.map(BoundExpression::evaluator);
            (ring, Vec::new(), prologue, epilogue, lines, sums)
        };
        for_each_init(executor, maps * bands, maps * bands, init, |state, task| {
            let (ring, rows, prologue, epilogue, lines, sums) = state;
            let (map, band) = (task / bands, task % bands);
            let filter = &weights[map % blocks * plan.filter * lanes..][..plan.filter * lanes];
            let end = output_size[0] * (band + 1) / bands;
            ring.reset();
            for first in (output_size[0] * band / bands..end).step_by(lines_at_once) {
                let count = lines_at_once.min(end - first);
                ring.advance(&plan, first..first + count, |missing, insert| {
                    let [from, to] =
                        [missing.start, missing.end].map(|y| map * in_len + y * in_line);
                    match prologue {
                        Some(prologue) => {
                            let lines = &mut lines[..to - from];
                            prologue.run(from, &[], lines);
                            insert(lines);
                        }
                        None => insert(&input.data[from..to]),
                    }
                });
                let sums = &mut Block16::as_floats_mut(sums)[..count * out_line];
                for (y, sums) in (first..).zip(sums.chunks_exact_mut(out_line)) {
                    ring.rows(&plan, y, filter, rows);
                    for columns in &column_groups {
                        // SAFETY: the kernel is for this processor, and the ring's lines are as
                        // long as the plan needs for every column of the output.
                        unsafe { kernel(sums, columns, rows) };
                    }
                }
                let at = map * out_len + first * out_line;
                // SAFETY: tasks write disjoint lines, all inside the output.
                let output = unsafe {
                    std::slice::from_raw_parts_mut(output.get().add(at), count * out_line)
                };
                match epilogue {
                    Some(epilogue) => epilogue.run(at, sums, output),
                    None => output.copy_from_slice(sums),
                }
            }
        });
        Ok(())
    }
}
