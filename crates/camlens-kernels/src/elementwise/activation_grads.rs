//! Gradients of activation functions: groups of steps that backward passes contain, and that run as
//! one loop.
//!
//! A gradient is recognised by its steps, whatever surrounds them, and computes what they compute,
//! with the same roundings.

use super::types::{Op, Step};

/// The gradient of an activation function. Its operands are the function's input `x` and the
/// gradient `g` of the function's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ActivationGrad {
    /// `g · ([x > low ∧ high > x] · (x·slope + offset) + [x ≥ high])`.
    HardSwish { slope: f32, offset: f32, low: f32, high: f32 },
    /// `g·s + (g·x)·(s·(one − s))` with `s = σ(x)`.
    Silu { one: f32 },
}

/// The steps of a gradient. Values 0 and 1 are `x` and `g`; constants follow, and then the steps'
/// results, which only steps of the pattern may read, except the last.
struct Pattern {
    constants: usize,
    steps: &'static [(Op, [usize; 2])],
    grad: fn(&[f32]) -> ActivationGrad,
}

const PATTERNS: [Pattern; 2] = [
    Pattern {
        constants: 4,
        steps: &[
            (Op::Mul, [0, 2]),
            (Op::Add, [6, 3]),
            (Op::Greater, [0, 4]),
            (Op::Greater, [5, 0]),
            (Op::And, [8, 9]),
            (Op::Mul, [10, 7]),
            (Op::GreaterOrEqual, [0, 5]),
            (Op::Add, [11, 12]),
            (Op::Mul, [1, 13]),
        ],
        grad: |constants| ActivationGrad::HardSwish {
            slope: constants[0],
            offset: constants[1],
            low: constants[2],
            high: constants[3],
        },
    },
    Pattern {
        constants: 1,
        steps: &[
            (Op::Sigmoid, [0, 0]),
            (Op::Mul, [1, 3]),
            (Op::Mul, [1, 0]),
            (Op::Sub, [2, 3]),
            (Op::Mul, [3, 6]),
            (Op::Mul, [5, 7]),
            (Op::Add, [4, 8]),
        ],
        grad: |constants| ActivationGrad::Silu { one: constants[0] },
    },
];

/// A gradient found among the steps of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) grad: ActivationGrad,
    /// `x` and `g`.
    pub(super) operands: [usize; 2],
    /// The steps that it replaces; the last gives the result.
    pub(super) steps: Vec<usize>,
}

/// The expression that is searched.
pub(super) struct GradSearch<'a> {
    /// Values numbered before the steps; the last of them are `constants`.
    pub(super) given: usize,
    pub(super) constants: &'a [f32],
    pub(super) steps: &'a [Step],
    /// How often steps read each value.
    pub(super) readers: &'a [usize],
}

impl GradSearch<'_> {
    /// The gradient whose last step this is.
    pub(super) fn ending_at(&self, index: usize) -> Option<Found> {
        PATTERNS.iter().find_map(|pattern| self.match_pattern(pattern, index))
    }

    fn match_pattern(&self, pattern: &Pattern, index: usize) -> Option<Found> {
        let first = 2 + pattern.constants;
        let mut bound = vec![None; first + pattern.steps.len()];
        if !self.unify(pattern, bound.len() - 1, self.given + index, &mut bound) {
            return None;
        }
        let bound: Vec<usize> = bound.into_iter().collect::<Option<_>>()?;
        let constant = |value: usize| self.constants[value + self.constants.len() - self.given];
        // A step that is read from outside the pattern can't be merged away.
        let reads_inside = |variable: usize| {
            let reads =
                |&(op, operands): &(Op, [usize; 2])| operands[..op.operands()].contains(&variable);
            pattern.steps.iter().filter(|step| reads(step)).count()
        };
        let is_self_contained = (first..bound.len() - 1)
            .all(|variable| self.readers[bound[variable]] == reads_inside(variable));
        let constants: Vec<f32> = bound[2..first].iter().map(|&value| constant(value)).collect();
        is_self_contained.then(|| Found {
            grad: (pattern.grad)(&constants),
            operands: [bound[0], bound[1]],
            steps: bound[first..].iter().map(|value| value - self.given).collect(),
        })
    }

    /// Binds a variable of the pattern to a value of the expression, and the variables that it
    /// depends on. Returns whether they match, given the earlier bindings.
    fn unify(
        &self,
        pattern: &Pattern,
        variable: usize,
        value: usize,
        bound: &mut [Option<usize>],
    ) -> bool {
        if let Some(known) = bound[variable] {
            return known == value;
        }
        let is_constant = || (self.given - self.constants.len()..self.given).contains(&value);
        let fits = match variable.checked_sub(2 + pattern.constants) {
            None => variable < 2 || is_constant(),
            Some(step) => {
                let (op, operands) = pattern.steps[step];
                let found = value.checked_sub(self.given).map(|index| self.steps[index]);
                found.is_some_and(|found| {
                    let [a, b] = [found.operands[0], found.operands[1]];
                    let mut in_order = |values: [usize; 2]| {
                        let before = bound.to_vec();
                        let matches = (operands.into_iter().zip(values).take(op.operands()))
                            .all(|(variable, value)| self.unify(pattern, variable, value, bound));
                        if !matches {
                            bound.copy_from_slice(&before);
                        }
                        matches
                    };
                    let commutes = matches!(op, Op::Add | Op::Mul | Op::And);
                    found.op == op && (in_order([a, b]) || (commutes && in_order([b, a])))
                })
            }
        };
        if fits {
            bound[variable] = Some(value);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::{BoundExpression, Expression, Tensor};
    use crate::executor::Serial;

    /// A pattern as the steps of an expression whose inputs are `x` and `g`.
    fn steps(pattern: &Pattern) -> Vec<Step> {
        let step = |&(op, [a, b]): &(Op, [usize; 2])| Step { op, operands: [a, b, 0] };
        pattern.steps.iter().map(step).collect()
    }

    /// The gradient that ends at a step of an expression.
    fn found(inputs: usize, constants: &[f32], steps: &[Step], index: usize) -> Option<Found> {
        let given = inputs + constants.len();
        let mut readers = vec![0; given + steps.len()];
        steps.iter().flat_map(Step::reads).for_each(|operand| readers[operand] += 1);
        GradSearch { given, constants, steps, readers: &readers }.ending_at(index)
    }

    #[test]
    fn a_fused_gradient_equals_its_steps_one_by_one() {
        let given = [[1.0 / 3.0, 0.5, -3.0, 3.0], [1.0, 0.0, 0.0, 0.0]];
        let mut x: Vec<f32> = (0..3000).map(|index| (index as f32 - 1500.0) / 250.0).collect();
        let special =
            [f32::NAN, f32::INFINITY, -f32::INFINITY, -0.0, 3.0, -3.0, 1e30, -1e30, 100.0, -100.0];
        x[..special.len()].copy_from_slice(&special);
        let upstream: Vec<f32> = x.iter().map(|x| (x * 7.3).sin()).collect();
        let shape = [x.len()];
        let inputs = [&x, &upstream].map(|data| Tensor { data, shape: &shape });
        for (pattern, constants) in PATTERNS.iter().zip(given) {
            let constants = &constants[..pattern.constants];
            let steps = steps(pattern);
            let is_found = found(2, constants, &steps, steps.len() - 1);
            assert_eq!(
                is_found.map(|found| (found.operands, found.steps.len())),
                Some(([0, 1], steps.len()))
            );
            let whole = Expression::new(2, constants.to_vec(), steps.clone()).unwrap();
            let mut fused = vec![0.0; x.len()];
            BoundExpression::new(&whole, None, &inputs, &shape)
                .unwrap()
                .run(&mut fused, &Serial)
                .unwrap();
            // Each step as a separate expression, whose inputs are all earlier values.
            let mut known: Vec<Vec<f32>> = vec![x.clone(), upstream.clone()];
            known.extend(constants.iter().map(|&value| vec![value; x.len()]));
            for step in steps {
                let alone = Expression::new(known.len(), vec![], vec![step]).unwrap();
                let inputs: Vec<_> =
                    known.iter().map(|data| Tensor { data, shape: &shape }).collect();
                let mut next = vec![0.0; x.len()];
                BoundExpression::new(&alone, None, &inputs, &shape)
                    .unwrap()
                    .run(&mut next, &Serial)
                    .unwrap();
                known.push(next);
            }
            for (index, (got, expected)) in fused.iter().zip(&known[known.len() - 1]).enumerate() {
                assert!(
                    got == expected || (got.is_nan() && expected.is_nan()),
                    "{}: {got}, {expected}",
                    x[index]
                );
            }
        }
    }

    #[test]
    fn a_gradient_with_outside_readers_or_without_its_constants_is_not_fused() {
        let silu = steps(&PATTERNS[1]);
        assert!(found(2, &[1.0], &silu, 6).is_some());
        let mut read = silu.clone();
        read.push(Step { op: Op::Neg, operands: [7, 0, 0] });
        assert!(found(2, &[1.0], &read, 6).is_none());
        assert!(found(3, &[], &silu, 6).is_none());
        // Sigmoid minus one is not one minus sigmoid.
        let mut swapped = silu;
        swapped[3].operands = [3, 2, 0];
        assert!(found(2, &[1.0], &swapped, 6).is_none());
    }
}
