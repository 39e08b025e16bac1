//! [`BoundExpression`]: an expression with its inputs, evaluated alone or fused into another
//! kernel.

use std::ops::Range;

use super::broadcast::{InputAccess, InputCursor, broadcast_shape};
use super::buffer::ChunkBuffer;
use super::expression::Expression;
use super::types::{CHUNK, Tensor};
use crate::error::InvalidArgument;
use crate::executor::{Executor, for_each_init};
use crate::shared_mut::SharedMut;
use crate::simd::Isa;
use crate::sizes::product;

/// Fewest elements that are worth another thread.
const MIN_ELEMENTS_PER_THREAD: usize = 8 * CHUNK;

/// Elements in one task.
const TASK_LEN: usize = 4 * CHUNK;

/// An expression and the tensors that it reads.
///
/// One input may be streamed: it is not a tensor but the values that another kernel computes, such
/// as the output of a [`DepthwiseConv`](crate::DepthwiseConv) whose epilogue this expression is.
/// Only that kernel can evaluate such an expression.
#[derive(Debug)]
pub struct BoundExpression<'a> {
    expression: &'a Expression,
    inputs: Vec<InputAccess<'a>>,
    len: usize,
}

impl<'a> BoundExpression<'a> {
    /// Binds `inputs` to an expression whose result has this `shape`.
    ///
    /// `streamed` is the index of the streamed input, which has the result's shape, if there is
    /// one; `inputs` are the other inputs in order.
    ///
    /// # Errors
    /// When the number of inputs is not the expression's, a slice is not as long as its shape says,
    /// or the inputs are not broadcast to `shape`.
    pub fn new(
        expression: &'a Expression,
        streamed: Option<usize>,
        inputs: &[Tensor<'a>],
        shape: &[usize],
    ) -> Result<Self, InvalidArgument> {
        let mut shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
        if let Some(index) = streamed.filter(|&index| index <= inputs.len()) {
            shapes.insert(index, shape);
        }
        if shapes.len() != expression.inputs {
            return Err(InvalidArgument::new(format!(
                "an expression of {} inputs was given {}",
                expression.inputs,
                shapes.len()
            )));
        }
        for input in inputs {
            if input.data.len() != product(input.shape)? {
                return Err(InvalidArgument::new("an input is not as long as its shape says"));
            }
        }
        if broadcast_shape(&shapes)? != shape {
            return Err(InvalidArgument::new(format!(
                "inputs of the shapes {shapes:?} are not broadcast to {shape:?}"
            )));
        }
        let len = product(shape)?;
        let mut accesses: Vec<InputAccess<'a>> =
            inputs.iter().map(|input| InputAccess::new(*input, shape, len)).collect();
        if let Some(index) = streamed.filter(|&index| index <= inputs.len()) {
            accesses.insert(index, InputAccess::Streamed);
        }
        Ok(Self { expression, inputs: accesses, len })
    }

    /// Evaluates the expression into `output`, which has the result's length.
    ///
    /// # Errors
    /// When the output has another length, or an input is streamed.
    pub fn run(&self, output: &mut [f32], executor: &dyn Executor) -> Result<(), InvalidArgument> {
        self.run_on(Isa::detect(), output, executor)
    }

    pub(super) fn run_on(
        &self,
        isa: Isa,
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        let len = output.len();
        self.check_not_streamed()?;
        if len != self.len {
            return Err(InvalidArgument::new(format!(
                "an expression of {} elements was given an output of {len}",
                self.len
            )));
        }
        if len == 0 {
            return Ok(());
        }
        let output = SharedMut::new(output);
        let init = || Evaluator::new(self.expression, isa, &self.inputs);
        let (threads, tasks) = (len / MIN_ELEMENTS_PER_THREAD, len.div_ceil(TASK_LEN));
        for_each_init(executor, threads, tasks, init, |evaluator, task| {
            let (from, to) = (task * TASK_LEN, len.min((task + 1) * TASK_LEN));
            // SAFETY: tasks write disjoint elements, all inside the output.
            let output =
                unsafe { std::slice::from_raw_parts_mut(output.get().add(from), to - from) };
            evaluator.run(from, &[], output);
        });
        Ok(())
    }

    /// Sums the result over every channel of NCHWc maps `[M, positions, c]`, without storing it.
    ///
    /// The channel block c is one of [`NCHWC_BLOCKS`], and `output` is `[M, c]`. Each chunk is
    /// summed by itself first: a single running sum of many elements would lose small ones.
    ///
    /// # Errors
    /// When the block size is not supported, the result is not M such maps, or an input is
    /// streamed.
    ///
    /// [`NCHWC_BLOCKS`]: crate::NCHWC_BLOCKS
    pub fn channel_sums(
        &self,
        [positions, block]: [usize; 2],
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        match block {
            8 => self.channel_sums_of::<8>(positions, output, executor),
            16 => self.channel_sums_of::<16>(positions, output, executor),
            _ => {
                Err(InvalidArgument::new(format!("{block} is not a supported channel block size")))
            }
        }
    }

    fn channel_sums_of<const LANES: usize>(
        &self,
        positions: usize,
        output: &mut [f32],
        executor: &dyn Executor,
    ) -> Result<(), InvalidArgument> {
        let (maps, rest) = output.as_chunks_mut::<LANES>();
        let map_len = product(&[positions, LANES])?;
        self.check_not_streamed()?;
        if !rest.is_empty() || self.len != product(&[maps.len(), map_len])? {
            return Err(InvalidArgument::new(format!(
                "an expression of {} elements can't be summed to {} maps of {positions} positions \
                 and {LANES} channels",
                self.len,
                maps.len()
            )));
        }
        let count = maps.len();
        let maps = SharedMut::new(maps);
        let init = || (self.evaluator(), ChunkBuffer::filled(0.0));
        let threads = self.len / MIN_ELEMENTS_PER_THREAD;
        for_each_init(executor, threads, count, init, |(evaluator, chunk), index| {
            let mut sum = [0.0; LANES];
            for from in (0..map_len).step_by(CHUNK) {
                let values = chunk.floats_mut(CHUNK.min(map_len - from));
                evaluator.run(index * map_len + from, &[], values);
                let mut of_chunk = [0.0; LANES];
                for values in values.as_chunks::<LANES>().0 {
                    of_chunk.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
                sum.iter_mut().zip(of_chunk).for_each(|(sum, value)| *sum += value);
            }
            // SAFETY: each task writes a map of its own, and there are as many maps as tasks.
            unsafe { *maps.get().add(index) = sum };
        });
        Ok(())
    }

    fn check_not_streamed(&self) -> Result<(), InvalidArgument> {
        if self.inputs.iter().any(|input| matches!(input, InputAccess::Streamed)) {
            return Err(InvalidArgument::new(
                "an expression with a streamed input can't be evaluated by itself",
            ));
        }
        Ok(())
    }

    /// An evaluator for one thread of another kernel.
    pub(crate) fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self.expression, Isa::detect(), &self.inputs)
    }

    /// Elements of the result.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// An expression as one thread evaluates it.
pub(crate) struct Evaluator<'a> {
    expression: &'a Expression,
    isa: Isa,
    operands: Vec<InputCursor<'a>>,
    buffers: Vec<ChunkBuffer>,
}

impl<'a> Evaluator<'a> {
    fn new(expression: &'a Expression, isa: Isa, inputs: &'a [InputAccess<'a>]) -> Self {
        let constants = expression.constants.iter().map(|&value| InputCursor::scalar(value));
        Self {
            expression,
            isa,
            operands: inputs.iter().map(InputCursor::new).chain(constants).collect(),
            buffers: (0..expression.buffer_count).map(|_| ChunkBuffer::filled(0.0)).collect(),
        }
    }

    /// Evaluates the elements from index `from` on, as many as `output` holds. `streamed` holds
    /// the streamed input at these elements; it is not read where no input is streamed.
    pub(crate) fn run(&mut self, from: usize, streamed: &[f32], output: &mut [f32]) {
        for (index, output) in output.chunks_mut(CHUNK).enumerate() {
            let start = index * CHUNK;
            let chunk: Range<usize> = from + start..from + start + output.len();
            self.operands.iter_mut().for_each(|operand| operand.seek(chunk.clone()));
            let streamed = streamed.get(start..).unwrap_or_default();
            self.expression.run_chunk(
                self.isa,
                (&self.operands, streamed),
                &mut self.buffers,
                output,
            );
        }
    }
}
