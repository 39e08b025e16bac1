//! An expression with the tensors that it reads: worked out by itself, or along the way of another
//! kernel, on a few of its numbers at a time, while they are in the cache.

use std::ops::Range;

use super::broadcast::{Operand, Reading};
use super::buffer::Buffer;
use super::{BLOCK, ENOUGH, Expression, TURN, Tensor, broadcast};
use crate::pool::{Pool, Shared, share};
use crate::simd::Processor;

/// An expression and the tensors that it reads. One of its inputs may be what the other kernel
/// hands over.
#[derive(Debug)]
pub struct Inline<'a> {
    expression: &'a Expression,
    readings: Vec<Reading<'a>>,
    len: usize,
}

impl<'a> Inline<'a> {
    /// `handed` is the place of the input that the other kernel hands over, of this `shape`;
    /// `inputs` are the others, in order. Without it the result has the shape to which the
    /// inputs are broadcast.
    ///
    /// # Errors
    /// When the inputs are not as many as the expression has, when a slice is not as long as its
    /// shape says, and when the expression's result has not this shape.
    pub fn new(
        expression: &'a Expression,
        handed: Option<usize>,
        inputs: &[Tensor<'a>],
        shape: &[usize],
    ) -> Result<Self, String> {
        let mut shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
        let mut readings: Vec<Reading<'a>> =
            inputs.iter().map(|input| Reading::new(*input, shape)).collect();
        if let Some(place) = handed.filter(|&place| place <= inputs.len()) {
            shapes.insert(place, shape);
            readings.insert(place, Reading::Handed);
        }
        let fits = |input: &Tensor<'_>| input.data.len() == input.shape.iter().product::<usize>();
        if readings.len() != expression.inputs || !inputs.iter().all(fits) {
            return Err("an expression's inputs are not as many or as long as it needs".into());
        }
        if broadcast::shape(&shapes)? != shape {
            return Err(format!("an expression of {shapes:?} has not the shape {shape:?}"));
        }
        Ok(Self { expression, readings, len: shape.iter().product() })
    }

    /// Works it out where no other kernel does; nothing is handed over then.
    ///
    /// # Errors
    /// When the output is not as long as the result, and when something should be handed over.
    pub fn run(&self, output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        self.run_on(Processor::detect(), output, threads)
    }

    pub(super) fn run_on(
        &self,
        processor: Processor,
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let len = output.len();
        if len != self.len || self.readings.iter().any(|reading| matches!(reading, Reading::Handed))
        {
            return Err(
                "an expression whose output has another length, or that waits for numbers".into()
            );
        }
        if len == 0 {
            return Ok(());
        }
        let output = Shared::new(output);
        let work = || Work::new(self.expression, processor, &self.readings);
        share(threads, len / ENOUGH, len.div_ceil(TURN), work, |work, turn| {
            let (from, to) = (turn * TURN, len.min((turn + 1) * TURN));
            // SAFETY: every turn has numbers of its own, inside the output.
            let output =
                unsafe { std::slice::from_raw_parts_mut(output.get().add(from), to - from) };
            work.run(from, &[], output);
        });
        Ok(())
    }

    /// Works out the sum of every channel where as many as `lanes`, one of [`BLOCKS`], lie side by
    /// side: `places` blocks make a map, and `output` gets a block for each map. The numbers
    /// themselves are not kept.
    ///
    /// # Errors
    /// When the result is not made of such maps, the output not as long as there are sums, and when
    /// something should be handed over.
    ///
    /// [`BLOCKS`]: crate::BLOCKS
    pub fn sums(
        &self,
        [places, lanes]: [usize; 2],
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        match lanes {
            8 => self.sums_of::<8>(places, output, threads),
            16 => self.sums_of::<16>(places, output, threads),
            _ => Err(format!("there are no blocks of {lanes} channels")),
        }
    }

    fn sums_of<const LANES: usize>(
        &self,
        places: usize,
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let (maps, rest) = output.as_chunks_mut::<LANES>();
        let map = places * LANES;
        let waits = self.readings.iter().any(|reading| matches!(reading, Reading::Handed));
        if waits || !rest.is_empty() || self.len != maps.len() * map {
            return Err("sums of an expression that is not made of such maps".into());
        }
        let count = maps.len();
        let maps = Shared::new(maps);
        let work = || (self.work(), Buffer::of(0.0));
        share(threads, self.len / ENOUGH, count, work, |(work, block), index| {
            let mut sum = [0.0; LANES];
            for from in (0..map).step_by(BLOCK) {
                let numbers = block.numbers_mut(BLOCK.min(map - from));
                work.run(index * map + from, &[], numbers);
                // Block by block: many numbers on one heap would lose the small ones.
                let mut of_block = [0.0; LANES];
                for numbers in numbers.as_chunks::<LANES>().0 {
                    of_block.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
                }
                sum.iter_mut().zip(of_block).for_each(|(sum, number)| *sum += number);
            }
            // SAFETY: every turn has a map of its own, of which there are so many.
            unsafe { *maps.get().add(index) = sum };
        });
        Ok(())
    }

    /// What one thread needs to work it out.
    pub(crate) fn work(&self) -> Work<'_> {
        Work::new(self.expression, Processor::detect(), &self.readings)
    }

    /// Numbers in the result.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// An expression as one thread works it out.
pub(crate) struct Work<'a> {
    expression: &'a Expression,
    processor: Processor,
    operands: Vec<Operand<'a>>,
    buffers: Vec<Buffer>,
}

impl<'a> Work<'a> {
    fn new(expression: &'a Expression, processor: Processor, readings: &'a [Reading<'a>]) -> Self {
        let constants = expression.constants.iter().map(|&value| Operand::scalar(value));
        Self {
            expression,
            processor,
            operands: readings.iter().map(Operand::new).chain(constants).collect(),
            buffers: (0..expression.buffer_count).map(|_| Buffer::of(0.0)).collect(),
        }
    }

    /// Works out the numbers of the result from place `from` on, as many as `output` takes;
    /// `handed`, which is as long where the expression reads it, are the numbers at these
    /// places that the other kernel made.
    pub(crate) fn run(&mut self, from: usize, handed: &[f32], output: &mut [f32]) {
        for (index, output) in output.chunks_mut(BLOCK).enumerate() {
            let start = index * BLOCK;
            let block: Range<usize> = from + start..from + start + output.len();
            self.operands.iter_mut().for_each(|operand| operand.seek(block.clone()));
            let handed = handed.get(start..).unwrap_or_default();
            self.expression.block(
                self.processor,
                (&self.operands, handed),
                &mut self.buffers,
                output,
            );
        }
    }
}
