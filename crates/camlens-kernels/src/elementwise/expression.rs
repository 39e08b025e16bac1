//! [`Expression`]: fused steps, and the buffers between them.

use super::broadcast::{InputCursor, broadcast_shape};
use super::buffer::ChunkBuffer;
use super::fusion::{FusedStep, fuse};
use super::step_kernels;
use super::types::Step;
use crate::error::InvalidArgument;
use crate::simd::Isa;

/// Steps, the last of which gives the result.
///
/// Steps are fused when the expression is built. Copies are removed; two steps become one loop if
/// the second is the only reader of the first; so do the steps of a HardSwish or SiLU gradient.
///
/// ```
/// use camlens_kernels::{BoundExpression, Expression, Op, Serial, Step, Tensor};
///
/// // relu'(x) · dy: values 0 and 1 are the inputs x and dy, value 2 is the constant 0.
/// let expression = Expression::new(
///     2,
///     vec![0.0],
///     vec![
///         Step { op: Op::Greater, operands: [0, 2, 0] },
///         Step { op: Op::Mul, operands: [3, 1, 0] },
///     ],
/// )?;
/// let x = Tensor { data: &[-1.0, 2.0, -3.0, 4.0], shape: &[2, 2] };
/// let dy = Tensor { data: &[10.0, 20.0], shape: &[2] };
/// let shape = Expression::broadcast_shape(&[x.shape, dy.shape])?;
/// let mut output = [0.0; 4];
/// BoundExpression::new(&expression, None, &[x, dy], &shape)?.run(&mut output, &Serial)?;
/// assert_eq!(output, [0.0, 20.0, 0.0, 20.0]);
/// # Ok::<(), camlens_kernels::InvalidArgument>(())
/// ```
#[derive(Clone, Debug)]
pub struct Expression {
    pub(super) inputs: usize,
    pub(super) constants: Vec<f32>,
    steps: Vec<FusedStep>,
    /// The buffer that each step but the last writes.
    buffers: Vec<usize>,
    pub(super) buffer_count: usize,
}

impl Expression {
    /// Builds an expression from its number of inputs, its constants and its steps.
    ///
    /// # Errors
    /// When there is no input or no step, or a step reads a value that is not numbered before it.
    pub fn new(
        inputs: usize,
        constants: Vec<f32>,
        steps: Vec<Step>,
    ) -> Result<Self, InvalidArgument> {
        if steps.is_empty() || inputs == 0 {
            return Err(InvalidArgument::new("an expression needs an input and a step"));
        }
        let given = inputs + constants.len();
        for (index, step) in steps.iter().enumerate() {
            if let Some(operand) = step.reads().find(|&operand| operand >= given + index) {
                return Err(InvalidArgument::new(format!(
                    "step {index} reads value {operand}, which is not computed before it"
                )));
            }
        }
        let steps = fuse(inputs, &constants, &steps);
        let last_reader = |value: usize| {
            steps.iter().rposition(|step| step.reads().any(|it| it == value)).unwrap_or(0)
        };
        let (mut buffers, mut free_from): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for index in 0..steps.len() - 1 {
            // A buffer that this step itself reads is not free yet.
            let buffer = free_from.iter().position(|&from| from < index).unwrap_or(free_from.len());
            free_from.resize(free_from.len().max(buffer + 1), 0);
            free_from[buffer] = last_reader(given + index).max(index);
            buffers.push(buffer);
        }
        Ok(Self { inputs, constants, steps, buffers, buffer_count: free_from.len() })
    }

    /// The shape to which inputs of these shapes are broadcast, which is the result's.
    ///
    /// # Errors
    /// When the shapes can't be broadcast together.
    pub fn broadcast_shape(shapes: &[&[usize]]) -> Result<Vec<usize>, InvalidArgument> {
        broadcast_shape(shapes)
    }

    /// Evaluates one chunk, of at most [`CHUNK`](super::types::CHUNK) elements.
    pub(super) fn run_chunk(
        &self,
        isa: Isa,
        (given, streamed): (&[InputCursor<'_>], &[f32]),
        buffers: &mut [ChunkBuffer],
        output: &mut [f32],
    ) {
        let last = self.steps.len() - 1;
        for (index, step) in self.steps.iter().enumerate() {
            // Take the step's buffer out, so that the others can be borrowed while it is written.
            let mut taken =
                self.buffers.get(index).map(|&buffer| std::mem::take(&mut buffers[buffer]));
            let count = output.len();
            let to = match &mut taken {
                Some(buffer) => buffer.floats_mut(count),
                None => &mut *output,
            };
            let operands = step.operands.map(|operand| match operand.checked_sub(given.len()) {
                None => given[operand].chunk(streamed, count),
                Some(earlier) if earlier < index.min(last) => {
                    buffers[self.buffers[earlier]].floats(count)
                }
                // An operand that the step does not read.
                Some(_) => &[],
            });
            step_kernels::run(isa, step.kind, operands, to);
            if let (Some(buffer), Some(&position)) = (taken, self.buffers.get(index)) {
                buffers[position] = buffer;
            }
        }
    }
}
