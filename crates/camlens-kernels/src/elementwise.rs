//! Elementwise arithmetic in one go: a whole expression is worked out on a block of numbers while
//! it is in the cache.
//!
//! A backward pass is full of it: the derivative of an activation function alone is ten operators,
//! and the runtime reads and writes the memory for each. Here every input is read once and the
//! result is written once. An [`Expression`] broadcasts its inputs as NumPy does, and every step as
//! if it stood alone: the numbers are those that the operators give one by one. Conditions are
//! numbers too, 0 and 1.

mod broadcast;
mod buffer;
mod inline;
mod passes;
mod slopes;
mod steps;
#[cfg(test)]
mod tests;

pub use inline::Inline;

use broadcast::Operand;
use buffer::Buffer;
use passes::Pass;

use crate::simd::Processor;

/// Numbers that are worked on at once: with the handful of buffers that an expression takes, they
/// fit into the first-level cache.
const BLOCK: usize = 1024;

/// So many numbers are worth another thread.
const ENOUGH: usize = 8 * BLOCK;

/// So many does a thread take at a time.
const TURN: usize = 4 * BLOCK;

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
    /// `a · min(max(a/6 + 1/2, 0), 1)`.
    HardSwish,
}

impl Op {
    /// All of them; the place of one is its number, `op as usize`.
    pub const ALL: [Self; 19] = [
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
        Self::HardSwish,
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
            | Self::Not
            | Self::HardSwish => 1,
            Self::Select => 3,
            _ => 2,
        }
    }
}

/// One step: its operands are inputs, by their number, constants, or results of earlier steps,
/// which are counted on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// Its operands; those that it does not take are ignored.
    pub operands: [usize; 3],
}

impl Step {
    /// The operands that it takes.
    fn reads(&self) -> impl Iterator<Item = usize> {
        self.operands.into_iter().take(self.op.operands())
    }
}

/// Steps of which the last gives the result.
#[derive(Clone, Debug)]
pub struct Expression {
    inputs: usize,
    constants: Vec<f32>,
    passes: Vec<Pass>,
    /// The buffer that each pass but the last writes.
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
        for (index, step) in steps.iter().enumerate() {
            if step.reads().any(|operand| operand >= given + index) {
                return Err(format!("step {index} reads what does not come before it"));
            }
        }
        let passes = passes::of(inputs, &constants, &steps);
        let last_reader = |value: usize| {
            passes.iter().rposition(|pass| pass.reads().any(|it| it == value)).unwrap_or(0)
        };
        let (mut buffers, mut free_from): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for index in 0..passes.len() - 1 {
            // A buffer that this very pass reads is not free yet.
            let buffer = free_from.iter().position(|&from| from < index).unwrap_or(free_from.len());
            free_from.resize(free_from.len().max(buffer + 1), 0);
            free_from[buffer] = last_reader(given + index).max(index);
            buffers.push(buffer);
        }
        Ok(Self { inputs, constants, passes, buffers, buffer_count: free_from.len() })
    }

    /// The sizes of the result: those of the inputs, broadcast.
    ///
    /// # Errors
    /// When they don't fit together.
    pub fn shape(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
        broadcast::shape(shapes)
    }

    /// Works out one block.
    fn block(
        &self,
        processor: Processor,
        (given, handed): (&[Operand<'_>], &[f32]),
        buffers: &mut [Buffer],
        output: &mut [f32],
    ) {
        let last = self.passes.len() - 1;
        for (index, pass) in self.passes.iter().enumerate() {
            // Out of the others' way for the pass that writes it.
            let mut taken =
                self.buffers.get(index).map(|&buffer| std::mem::take(&mut buffers[buffer]));
            let count = output.len();
            let to = match &mut taken {
                Some(buffer) => buffer.numbers_mut(count),
                None => &mut *output,
            };
            let operands = pass.operands.map(|operand| match operand.checked_sub(given.len()) {
                None => given[operand].numbers(handed, count),
                Some(earlier) if earlier < index.min(last) => {
                    buffers[self.buffers[earlier]].numbers(count)
                }
                // One that the pass does not take.
                Some(_) => &[],
            });
            steps::run(processor, pass.kind, operands, to);
            if let (Some(buffer), Some(&place)) = (taken, self.buffers.get(index)) {
                buffers[place] = buffer;
            }
        }
    }
}
