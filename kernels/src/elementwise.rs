//! Elementwise arithmetic in one go: a whole expression is worked out on a block of numbers while it is in the cache.
//!
//! A backward pass is full of it: the derivative of an activation function alone is ten operators, and the
//! runtime reads and writes the memory for each. Here every input is read once and the
//! result is written once. An [`Expression`] broadcasts its inputs as NumPy does, and every step as if it
//! stood alone: the numbers are those that the operators give one by one. Conditions are numbers too, 0 and 1.

mod broadcast;
mod steps;

use broadcast::{Operand, Reading};

use crate::pool::{Pool, Shared};
use crate::simd::Processor;

/// Numbers that are worked on at once: with the handful of buffers that an expression takes, they fit
/// into the first-level cache.
const BLOCK: usize = 512;

/// So many numbers are worth another thread's turn.
const ENOUGH: usize = 8 * BLOCK;

/// What one step does with its operands `a`, `b` and `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `a`.
    Identity,
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// `−a`.
    Neg,
    /// `|a|`.
    Abs,
    /// `√a`.
    Sqrt,
    /// `1 / a`.
    Reciprocal,
    /// `eᵃ`, within two units in the last place.
    Exp,
    /// `1 / (1 + e⁻ᵃ)`, as exact.
    Sigmoid,
    /// Whether `a > b`.
    Greater,
    /// Whether `a ≥ b`.
    GreaterOrEqual,
    /// Whether `a = b`.
    Equal,
    /// Whether both conditions hold.
    And,
    /// Whether one of them does.
    Or,
    /// Whether condition `a` does not.
    Not,
    /// `b` where condition `a` holds, else `c`.
    Select,
}

impl Op {
    /// All of them; the place of one is its number, `op as usize`.
    pub const ALL: [Self; 18] = [
        Self::Identity,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Neg,
        Self::Abs,
        Self::Sqrt,
        Self::Reciprocal,
        Self::Exp,
        Self::Sigmoid,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Equal,
        Self::And,
        Self::Or,
        Self::Not,
        Self::Select,
    ];

    /// How many operands it takes.
    #[must_use]
    pub const fn operands(self) -> usize {
        match self {
            Self::Identity
            | Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Exp
            | Self::Sigmoid
            | Self::Not => 1,
            Self::Select => 3,
            _ => 2,
        }
    }
}

/// One step: its operands are inputs, by their number, constants, or results of earlier steps, which are counted on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// Its operands; those that it does not take are ignored.
    pub operands: [usize; 3],
}

/// Steps of which the last gives the result.
#[derive(Clone, Debug)]
pub struct Expression {
    inputs: usize,
    constants: Vec<f32>,
    steps: Vec<Step>,
    /// The buffer that each step but the last writes.
    buffers: Vec<usize>,
    buffer_count: usize,
}

/// A tensor: its numbers, row-major, and its sizes.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// As many as the sizes say.
    pub data: &'a [f32],
    /// The sizes, outermost first.
    pub shape: &'a [usize],
}

impl Expression {
    /// Checks the steps and gives each a buffer.
    ///
    /// # Errors
    /// When there is no step, or one reads what does not come before it.
    pub fn new(inputs: usize, constants: Vec<f32>, steps: Vec<Step>) -> Result<Self, String> {
        if steps.is_empty() || inputs == 0 {
            return Err("an expression of nothing".into());
        }
        let given = inputs + constants.len();
        let reads = |step: &Step| step.operands.into_iter().take(step.op.operands());
        for (index, step) in steps.iter().enumerate() {
            if reads(step).any(|operand| operand >= given + index) {
                return Err(format!("step {index} reads what does not come before it"));
            }
        }
        let last_reader =
            |value: usize| steps.iter().rposition(|step| reads(step).any(|it| it == value)).unwrap_or(0);
        let (mut buffers, mut free_from): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for index in 0..steps.len() - 1 {
            // A buffer that this very step reads is not free yet.
            let buffer = free_from.iter().position(|&from| from < index).unwrap_or(free_from.len());
            free_from.resize(free_from.len().max(buffer + 1), 0);
            free_from[buffer] = last_reader(given + index).max(index);
            buffers.push(buffer);
        }
        Ok(Self { inputs, constants, steps, buffers, buffer_count: free_from.len() })
    }

    /// The sizes of the result: those of the inputs, broadcast.
    ///
    /// # Errors
    /// When they don't fit together.
    pub fn shape(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
        broadcast::shape(shapes)
    }

    /// Works it out.
    ///
    /// # Errors
    /// When the inputs are not as many as the expression has, when their shapes don't fit together, or
    /// when a slice is not as long as its shape says.
    pub fn run(&self, inputs: &[Tensor<'_>], output: &mut [f32], threads: &dyn Pool) -> Result<(), String> {
        self.run_on(Processor::detect(), inputs, output, threads)
    }

    fn run_on(
        &self,
        processor: Processor,
        inputs: &[Tensor<'_>],
        output: &mut [f32],
        threads: &dyn Pool,
    ) -> Result<(), String> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
        let shape = Self::shape(&shapes)?;
        let len = output.len();
        let fits = |input: &Tensor<'_>| input.data.len() == input.shape.iter().product::<usize>();
        if inputs.len() != self.inputs || len != shape.iter().product::<usize>() || !inputs.iter().all(fits) {
            return Err("an expression's inputs or output are not as long as their shapes".into());
        }
        if len == 0 {
            return Ok(());
        }
        let readings = inputs.iter().map(|input| Reading::new(*input, &shape));
        let readings: Vec<Reading<'_>> =
            readings.chain(self.constants.iter().map(|&value| Reading::Scalar(value))).collect();
        let blocks = len.div_ceil(BLOCK);
        let pieces = (len / ENOUGH).clamp(1, 2 * threads.threads().max(1));
        let output = Shared::new(output);
        threads.run(pieces, &|piece| {
            let (from, to) =
                (blocks * piece / pieces * BLOCK, (blocks * (piece + 1) / pieces * BLOCK).min(len));
            // SAFETY: every piece has blocks of its own, inside the output.
            let output = unsafe { std::slice::from_raw_parts_mut(output.get().add(from), to - from) };
            let mut operands: Vec<Operand<'_>> = readings.iter().map(Operand::new).collect();
            let mut buffers = vec![vec![0.0; BLOCK]; self.buffer_count];
            for (index, output) in output.chunks_mut(BLOCK).enumerate() {
                let block = from + index * BLOCK..from + index * BLOCK + output.len();
                operands.iter_mut().for_each(|operand| operand.seek(block.clone()));
                self.block(processor, &operands, &mut buffers, output);
            }
        });
        Ok(())
    }

    /// Works out one block.
    fn block(
        &self,
        processor: Processor,
        given: &[Operand<'_>],
        buffers: &mut [Vec<f32>],
        output: &mut [f32],
    ) {
        let last = self.steps.len() - 1;
        for (index, step) in self.steps.iter().enumerate() {
            // Out of the others' way for the step that writes it.
            let mut taken = self.buffers.get(index).map(|&buffer| std::mem::take(&mut buffers[buffer]));
            let count = output.len();
            let to = match &mut taken {
                Some(buffer) => &mut buffer[..count],
                None => &mut *output,
            };
            let operands = step.operands.map(|operand| match operand.checked_sub(given.len()) {
                None => given[operand].numbers(count),
                Some(earlier) if earlier < index.min(last) => {
                    let buffer = &buffers[self.buffers[earlier]];
                    &buffer[..count.min(buffer.len())]
                }
                // One that the step does not take.
                Some(_) => &[],
            });
            steps::run(processor, step.op, operands, to);
            if let (Some(buffer), Some(&place)) = (taken, self.buffers.get(index)) {
                buffers[place] = buffer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Scoped, Serial};

    fn tensor<'a>(data: &'a [f32], shape: &'a [usize]) -> Tensor<'a> {
        Tensor { data, shape }
    }

    fn step(op: Op, operands: [usize; 3]) -> Step {
        Step { op, operands }
    }

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 + seed * 11) % 101) as f32 / 10.0 - 5.0).collect()
    }

    #[test]
    fn every_step_is_what_plain_rust_gives_on_every_processor() {
        let flag = |condition: bool| f32::from(u8::from(condition));
        type Plain = fn(f32, f32, f32) -> f32;
        let plain = |op: Op| -> Plain {
            match op {
                Op::Identity => |a, _, _| a,
                Op::Add => |a, b, _| a + b,
                Op::Sub => |a, b, _| a - b,
                Op::Mul => |a, b, _| a * b,
                Op::Div => |a, b, _| a / b,
                Op::Neg => |a, _, _| -a,
                Op::Abs => |a, _, _| a.abs(),
                Op::Sqrt => |a, _, _| a.sqrt(),
                Op::Reciprocal => |a, _, _| 1.0 / a,
                Op::Exp => |a, _, _| f64::from(a).exp() as f32,
                Op::Sigmoid => |a, _, _| (1.0 / (1.0 + (-f64::from(a)).exp())) as f32,
                Op::Greater => |a, b, _| f32::from(u8::from(a > b)),
                Op::GreaterOrEqual => |a, b, _| f32::from(u8::from(a >= b)),
                Op::Equal => |a, b, _| f32::from(u8::from(a == b)),
                Op::And => |a, b, _| f32::from(u8::from(a != 0.0 && b != 0.0)),
                Op::Or => |a, b, _| f32::from(u8::from(a != 0.0 || b != 0.0)),
                Op::Not => |a, _, _| f32::from(u8::from(a == 0.0)),
                Op::Select => |a, b, c| if a != 0.0 { b } else { c },
            }
        };
        let conditions: Vec<f32> = (0..1500).map(|index| flag(index % 3 == 0)).collect();
        let mut numbers = values(1500, 1);
        numbers[..8].copy_from_slice(&[
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            -f32::INFINITY,
            88.0,
            -87.0,
            100.0,
        ]);
        for (op, processor) in
            Op::ALL.into_iter().flat_map(|op| Processor::all().into_iter().map(move |it| (op, it)))
        {
            let takes_conditions = matches!(op, Op::And | Op::Or | Op::Not | Op::Select);
            let a = if takes_conditions { &conditions } else { &numbers };
            let b = if matches!(op, Op::And | Op::Or) { conditions.clone() } else { values(1500, 2) };
            let c = values(1500, 3);
            let expression = Expression::new(3, vec![], vec![step(op, [0, 1, 2])]).unwrap();
            let mut output = vec![0.0; 1500];
            let inputs = [a, &b, &c].map(|data| tensor(data, &[1500]));
            expression.run_on(processor, &inputs, &mut output, &Serial).unwrap();
            for (index, &got) in output.iter().enumerate() {
                let expected = plain(op)(a[index], b[index], c[index]);
                let tolerance = if matches!(op, Op::Exp | Op::Sigmoid) {
                    2.0 * f32::EPSILON * expected.abs()
                } else {
                    0.0
                };
                let same = got == expected
                    || (got.is_nan() && expected.is_nan())
                    || (got - expected).abs() <= tolerance.max(f32::MIN_POSITIVE);
                assert!(same, "{op:?} on {processor:?} of {}: {got} for {expected}", a[index]);
            }
        }
    }

    #[test]
    fn a_long_expression_reuses_its_buffers_and_reads_what_is_left() {
        // ((a + b)·a − b), again and again, each time with what came two steps before.
        let mut steps = vec![step(Op::Add, [0, 1, 0]), step(Op::Mul, [2, 0, 0])];
        for index in 2..20 {
            steps.push(step(if index % 2 == 0 { Op::Sub } else { Op::Add }, [index, index + 1, 0]));
        }
        let expression = Expression::new(2, vec![], steps.clone()).unwrap();
        assert_eq!(expression.buffer_count, 3);
        let (a, b) = (values(5000, 4), values(5000, 5));
        let mut output = vec![0.0; 5000];
        let inputs = [tensor(&a, &[5000]), tensor(&b, &[5000])];
        expression.run(&inputs, &mut output, &Scoped(2)).unwrap();
        for index in 0..5000 {
            let mut known = vec![a[index], b[index]];
            for step in &steps {
                let [x, y, _] = step.operands.map(|operand| known.get(operand).copied().unwrap_or(0.0));
                known.push(match step.op {
                    Op::Add => x + y,
                    Op::Sub => x - y,
                    _ => x * y,
                });
            }
            assert_eq!(output[index], known[known.len() - 1]);
        }
    }

    #[test]
    fn the_place_of_an_operation_is_its_number() {
        assert!(Op::ALL.iter().enumerate().all(|(place, op)| *op as usize == place));
    }

    #[test]
    fn constants_come_between_the_inputs_and_the_steps() {
        let steps = vec![step(Op::Mul, [0, 1, 0]), step(Op::Sub, [3, 2, 0])];
        let expression = Expression::new(1, vec![3.0, 0.5], steps).unwrap();
        let x = values(2000, 6);
        let mut output = vec![0.0; 2000];
        expression.run(&[tensor(&x, &[2000])], &mut output, &Serial).unwrap();
        assert!(output.iter().zip(&x).all(|(&got, &x)| got == x * 3.0 - 0.5));
    }

    #[test]
    fn inputs_are_broadcast() {
        let shape = [2, 3, 20, 30];
        let sizes: [&[usize]; 7] =
            [&shape, &[2, 3, 1, 1], &[30], &[], &[3, 1, 30], &[2, 1, 20, 1], &[1, 1, 1, 1, 1]];
        let data: Vec<Vec<f32>> =
            sizes.iter().enumerate().map(|(seed, sizes)| values(sizes.iter().product(), seed)).collect();
        let steps = (0..6).map(|index| step(Op::Add, [if index == 0 { 0 } else { 6 + index }, index + 1, 0]));
        let expression = Expression::new(7, vec![], steps.collect()).unwrap();
        let inputs: Vec<Tensor<'_>> =
            data.iter().zip(sizes).map(|(data, sizes)| tensor(data, sizes)).collect();
        assert_eq!(Expression::shape(&sizes).unwrap(), [1, 2, 3, 20, 30]);
        let mut output = vec![0.0; 3600];
        expression.run(&inputs, &mut output, &Scoped(2)).unwrap();
        for (index, &got) in output.iter().enumerate() {
            let [n, c, y, x] = [index / 1800, index / 600 % 3, index / 30 % 20, index % 30];
            let parts = [
                data[0][index],
                data[1][n * 3 + c],
                data[2][x],
                data[3][0],
                data[4][c * 30 + x],
                data[5][n * 20 + y],
                data[6][0],
            ];
            assert_eq!(got, parts.into_iter().reduce(|sum, part| sum + part).unwrap());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Expression::new(1, vec![], vec![]).is_err());
        assert!(Expression::new(1, vec![], vec![step(Op::Add, [0, 1, 0])]).is_err());
        let add = Expression::new(2, vec![], vec![step(Op::Add, [0, 1, 0])]).unwrap();
        let (a, b) = ([1.0; 6], [1.0; 4]);
        let mut output = [0.0; 6];
        assert!(add.run(&[tensor(&a, &[6]), tensor(&b, &[4])], &mut output, &Serial).is_err());
        assert!(add.run(&[tensor(&a, &[6]), tensor(&b, &[1])], &mut output, &Serial).is_err());
        assert!(add.run(&[tensor(&a, &[6])], &mut output, &Serial).is_err());
        assert!(add.run(&[tensor(&a, &[6]), tensor(&b[..1], &[1])], &mut output[..5], &Serial).is_err());
        add.run(&[tensor(&[], &[0, 3]), tensor(&b[..3], &[3])], &mut [], &Serial).unwrap();
    }
}
