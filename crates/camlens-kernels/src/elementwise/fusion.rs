//! Fusion of steps into fewer loops over a chunk.
//!
//! Loading and storing a chunk takes longer than most steps' arithmetic. So copies are removed,
//! the gradient of an activation function becomes one loop, and so do two steps of which the second
//! is the only reader of the first. Each fused step rounds as its steps do one by one.

use super::activation_grads::{ActivationGrad, GradSearch};
use super::types::{Op, Step};

/// The first step of a fused pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairFirst {
    Add,
    Sub,
    Mul,
    Greater,
    GreaterOrEqual,
}

/// The second step of a fused pair: of the first step's result and another operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairSecond {
    Add,
    /// The first result minus the other operand.
    Sub,
    /// The other operand minus the first result.
    SubFrom,
    Mul,
}

/// What a fused step computes in one loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StepKind {
    Single(Op),
    /// Two steps. The first reads operands 0 and 1, the second reads operand 2.
    Pair(PairFirst, PairSecond),
    /// All steps of an activation function's gradient, which reads two operands.
    ActivationGrad(ActivationGrad),
}

/// A fused step. Operands are numbered as for [`Step`], with fused steps instead of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FusedStep {
    pub(super) kind: StepKind,
    pub(super) operands: [usize; 3],
}

impl FusedStep {
    /// The operands that the step reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        let count = match self.kind {
            StepKind::Single(op) => op.operands(),
            StepKind::Pair(..) => 3,
            StepKind::ActivationGrad(_) => 2,
        };
        self.operands.into_iter().take(count)
    }
}

/// Fuses the steps of an expression. The result computes the same values, and each fused step reads
/// only values that are numbered before it.
pub(super) fn fuse(inputs: usize, constants: &[f32], steps: &[Step]) -> Vec<FusedStep> {
    let given = inputs + constants.len();
    merge(given, constants, &without_copies(given, steps))
}

/// Removes steps that only copy, except one that gives the result.
fn without_copies(given: usize, steps: &[Step]) -> Vec<Step> {
    let mut renumbered: Vec<usize> = (0..given).collect();
    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    for (index, &step) in steps.iter().enumerate() {
        let step = Step { operands: renumber(step, &renumbered), ..step };
        if step.op == Op::Identity && index + 1 < steps.len() {
            renumbered.push(step.operands[0]);
        } else {
            renumbered.push(given + kept.len());
            kept.push(step);
        }
    }
    kept
}

/// A step's operands under the new numbering. An operand that the step does not read may have been
/// any index.
fn renumber(step: Step, renumbered: &[usize]) -> [usize; 3] {
    step.operands.map(|operand| renumbered.get(operand).copied().unwrap_or(0))
}

/// Merges activation gradients first, then pairs.
fn merge(given: usize, constants: &[f32], steps: &[Step]) -> Vec<FusedStep> {
    let mut readers = vec![0; given + steps.len()];
    for step in steps {
        step.reads().for_each(|operand| readers[operand] += 1);
    }
    let mut roles: Vec<Role> = vec![Role::Alone; steps.len()];
    // Backwards: a step inside a gradient can't be the end of another.
    let search = GradSearch { given, constants, steps, readers: &readers };
    for index in (0..steps.len()).rev() {
        let Some(found) = search.ending_at(index).filter(|_| roles[index] == Role::Alone) else {
            continue;
        };
        found.steps.iter().for_each(|&step| roles[step] = Role::Merged);
        roles[index] = Role::ActivationGrad(found.grad, found.operands);
    }
    for (index, step) in steps.iter().enumerate() {
        if roles[index] != Role::Alone {
            continue;
        }
        let merged = (0..2).find_map(|position| {
            let value = step.operands[position];
            let earlier = value.checked_sub(given)?;
            let fits = pair_second(step.op, position).is_some()
                && readers[value] == 1
                && roles[earlier] == Role::Alone
                && pair_first(steps[earlier].op).is_some();
            fits.then_some((earlier, position))
        });
        if let Some((earlier, position)) = merged {
            roles[index] = Role::PairWith(earlier, position);
            roles[earlier] = Role::Merged;
        }
    }
    let mut renumbered: Vec<usize> = (0..given).collect();
    let mut fused: Vec<FusedStep> = Vec::new();
    for (&step, role) in steps.iter().zip(roles) {
        // A merged step gets no new number, because only the step that it is merged into reads it.
        renumbered.push(given + fused.len());
        let alone = || (StepKind::Single(step.op), renumber(step, &renumbered));
        let (kind, operands) = match role {
            Role::Merged => continue,
            Role::Alone => alone(),
            Role::PairWith(earlier, position) => {
                let [a, b, _] = renumber(steps[earlier], &renumbered);
                let other = renumber(step, &renumbered)[1 - position];
                match (pair_first(steps[earlier].op), pair_second(step.op, position)) {
                    (Some(first), Some(second)) => (StepKind::Pair(first, second), [a, b, other]),
                    _ => alone(),
                }
            }
            Role::ActivationGrad(grad, [x, upstream]) => {
                (StepKind::ActivationGrad(grad), [renumbered[x], renumbered[upstream], 0])
            }
        };
        fused.push(FusedStep { kind, operands });
    }
    fused
}

/// A step's role in the fused steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// It is a fused step by itself.
    Alone,
    /// It is part of a later fused step.
    Merged,
    /// It forms a pair with this earlier step, whose result is its operand at this position.
    PairWith(usize, usize),
    /// It is the last step of an activation gradient with these operands.
    ActivationGrad(ActivationGrad, [usize; 2]),
}

/// An operation as the first step of a pair.
fn pair_first(op: Op) -> Option<PairFirst> {
    match op {
        Op::Add => Some(PairFirst::Add),
        Op::Sub => Some(PairFirst::Sub),
        // Conditions are 0 and 1, so a conjunction is a product.
        Op::Mul | Op::And => Some(PairFirst::Mul),
        Op::Greater => Some(PairFirst::Greater),
        Op::GreaterOrEqual => Some(PairFirst::GreaterOrEqual),
        _ => None,
    }
}

/// An operation as the second step of a pair whose first step gives its operand at `position`.
fn pair_second(op: Op, position: usize) -> Option<PairSecond> {
    match (op, position) {
        (Op::Add, _) => Some(PairSecond::Add),
        (Op::Sub, 0) => Some(PairSecond::Sub),
        (Op::Sub, _) => Some(PairSecond::SubFrom),
        (Op::Mul | Op::And, _) => Some(PairSecond::Mul),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(op: Op, operands: &[usize]) -> Step {
        Step {
            op,
            operands: std::array::from_fn(|index| operands.get(index).copied().unwrap_or(0)),
        }
    }

    #[test]
    fn a_step_with_a_single_reader_is_merged_into_it() {
        // x·s + g·s·(1 − s), of g, x, and 1.
        let steps = [
            step(Op::Sigmoid, &[1]),
            step(Op::Mul, &[1, 3]),
            step(Op::Sub, &[2, 3]),
            step(Op::Mul, &[3, 5]),
            step(Op::Mul, &[0, 6]),
            step(Op::Add, &[4, 7]),
        ];
        let pair =
            |first, second, operands| FusedStep { kind: StepKind::Pair(first, second), operands };
        let expected = [
            FusedStep { kind: StepKind::Single(Op::Sigmoid), operands: [1, 0, 0] },
            pair(PairFirst::Sub, PairSecond::Mul, [2, 3, 3]),
            FusedStep { kind: StepKind::Single(Op::Mul), operands: [0, 4, 0] },
            pair(PairFirst::Mul, PairSecond::Add, [1, 3, 5]),
        ];
        assert_eq!(fuse(2, &[1.0], &steps), expected);
    }

    #[test]
    fn an_activation_gradient_is_fused_among_other_steps() {
        // Steps before and after the gradient stay separate; its own steps may come in another
        // order.
        let steps = [
            step(Op::Sigmoid, &[1]),
            step(Op::Add, &[0, 0]),
            step(Op::Mul, &[1, 4]),
            step(Op::Sub, &[2, 3]),
            step(Op::Mul, &[6, 3]),
            step(Op::Mul, &[5, 7]),
            step(Op::Mul, &[3, 4]),
            step(Op::Add, &[8, 9]),
            step(Op::Neg, &[10]),
        ];
        let expected = [
            FusedStep { kind: StepKind::Single(Op::Add), operands: [0, 0, 0] },
            FusedStep {
                kind: StepKind::ActivationGrad(ActivationGrad::Silu { one: 1.0 }),
                operands: [1, 3, 0],
            },
            FusedStep { kind: StepKind::Single(Op::Neg), operands: [4, 0, 0] },
        ];
        assert_eq!(fuse(2, &[1.0], &steps), expected);
    }

    #[test]
    fn pairs_respect_operand_order_and_exclude_squares_and_other_operations() {
        let kinds = |op, operands: &[usize]| {
            let steps = [step(Op::Add, &[0, 1]), step(op, operands)];
            fuse(2, &[], &steps).iter().map(|step| step.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(Op::Sub, &[2, 0]), [StepKind::Pair(PairFirst::Add, PairSecond::Sub)]);
        assert_eq!(kinds(Op::Sub, &[0, 2]), [StepKind::Pair(PairFirst::Add, PairSecond::SubFrom)]);
        assert_eq!(kinds(Op::Mul, &[2, 2]), [StepKind::Single(Op::Add), StepKind::Single(Op::Mul)]);
        assert_eq!(kinds(Op::Div, &[2, 0]), [StepKind::Single(Op::Add), StepKind::Single(Op::Div)]);
    }

    #[test]
    fn copies_are_removed_except_one_that_gives_the_result() {
        let steps = [step(Op::Identity, &[0]), step(Op::Neg, &[1]), step(Op::Identity, &[2])];
        let fused = fuse(1, &[], &steps);
        let expected = [(Op::Neg, 0), (Op::Identity, 1)];
        assert_eq!(fused.len(), 2);
        for (step, (op, operand)) in fused.iter().zip(expected) {
            assert_eq!((step.kind, step.operands[0]), (StepKind::Single(op), operand));
        }
    }
}
