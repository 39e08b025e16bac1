//! Slopes of activation functions: steps that stand together in backward passes, and are one pass.
//!
//! A slope is found as its steps, whatever surrounds them, and gives what they give, rounding by
//! rounding.

use super::{Op, Step};

/// A gradient carried back through an activation function: its operands are where the function was
/// taken, and the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slope {
    /// `g · ([x > low ∧ high > x] · (x·steepness + middle) + [x ≥ high])`.
    HardSwish { steepness: f32, middle: f32, low: f32, high: f32 },
    /// `g·s + (g·x)·(s·(one − s))` with `s = σ(x)`.
    Silu { one: f32 },
}

/// The steps of a slope, each of which is read by others of them only but for the last. Operands 0
/// and 1 are `x` and the gradient; constants follow, and steps after them.
struct Pattern {
    constants: usize,
    steps: &'static [(Op, [usize; 2])],
    slope: fn(&[f32]) -> Slope,
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
        slope: |numbers| Slope::HardSwish {
            steepness: numbers[0],
            middle: numbers[1],
            low: numbers[2],
            high: numbers[3],
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
        slope: |numbers| Slope::Silu { one: numbers[0] },
    },
];

/// A slope among the steps of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) slope: Slope,
    /// `x` and the gradient.
    pub(super) operands: [usize; 2],
    /// The steps that it does, of which the last gives the result.
    pub(super) steps: Vec<usize>,
}

/// The expression whose steps are looked through.
pub(super) struct Search<'a> {
    /// How many values come before the steps, of which the last are these constants.
    pub(super) given: usize,
    pub(super) constants: &'a [f32],
    pub(super) steps: &'a [Step],
    /// How many steps read each value.
    pub(super) readers: &'a [usize],
}

impl Search<'_> {
    /// The slope whose result a step gives.
    pub(super) fn at(&self, index: usize) -> Option<Found> {
        PATTERNS.iter().find_map(|pattern| self.fit(pattern, index))
    }

    fn fit(&self, pattern: &Pattern, index: usize) -> Option<Found> {
        let first = 2 + pattern.constants;
        let mut bound = vec![None; first + pattern.steps.len()];
        if !self.unify(pattern, bound.len() - 1, self.given + index, &mut bound) {
            return None;
        }
        let bound: Vec<usize> = bound.into_iter().collect::<Option<_>>()?;
        let constant = |value: usize| self.constants[value + self.constants.len() - self.given];
        // Whoever reads a step from outside would miss it.
        let inside = |place: usize| {
            let reads =
                |&(op, operands): &(Op, [usize; 2])| operands[..op.operands()].contains(&place);
            pattern.steps.iter().filter(|step| reads(step)).count()
        };
        let is_whole =
            (first..bound.len() - 1).all(|place| self.readers[bound[place]] == inside(place));
        let numbers: Vec<f32> = bound[2..first].iter().map(|&value| constant(value)).collect();
        is_whole.then(|| Found {
            slope: (pattern.slope)(&numbers),
            operands: [bound[0], bound[1]],
            steps: bound[first..].iter().map(|value| value - self.given).collect(),
        })
    }

    /// Whether a value is what a place of the pattern asks for, given what other places are bound
    /// to.
    fn unify(
        &self,
        pattern: &Pattern,
        place: usize,
        value: usize,
        bound: &mut [Option<usize>],
    ) -> bool {
        if let Some(known) = bound[place] {
            return known == value;
        }
        let is_constant = || (self.given - self.constants.len()..self.given).contains(&value);
        let fits = match place.checked_sub(2 + pattern.constants) {
            None => place < 2 || is_constant(),
            Some(step) => {
                let (op, operands) = pattern.steps[step];
                let found = value.checked_sub(self.given).map(|index| self.steps[index]);
                found.is_some_and(|found| {
                    let [a, b] = [found.operands[0], found.operands[1]];
                    let mut in_order = |of_this: [usize; 2]| {
                        let before = bound.to_vec();
                        let all = (operands.into_iter().zip(of_this).take(op.operands()))
                            .all(|(place, value)| self.unify(pattern, place, value, bound));
                        if !all {
                            bound.copy_from_slice(&before);
                        }
                        all
                    };
                    let commutes = matches!(op, Op::Add | Op::Mul | Op::And);
                    found.op == op && (in_order([a, b]) || (commutes && in_order([b, a])))
                })
            }
        };
        if fits {
            bound[place] = Some(value);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::{Expression, Inline, Tensor};
    use crate::pool::Serial;

    /// A pattern as the steps of an expression of `x`, the gradient and these constants.
    fn steps(pattern: &Pattern) -> Vec<Step> {
        let step = |&(op, [a, b]): &(Op, [usize; 2])| Step { op, operands: [a, b, 0] };
        pattern.steps.iter().map(step).collect()
    }

    /// The slope whose result the step at a place of these gives, the inputs being so many.
    fn found(inputs: usize, constants: &[f32], steps: &[Step], index: usize) -> Option<Found> {
        let given = inputs + constants.len();
        let mut readers = vec![0; given + steps.len()];
        steps.iter().flat_map(Step::reads).for_each(|operand| readers[operand] += 1);
        Search { given, constants, steps, readers: &readers }.at(index)
    }

    #[test]
    fn a_slope_gives_what_its_steps_give_one_by_one() {
        let given = [[1.0 / 3.0, 0.5, -3.0, 3.0], [1.0, 0.0, 0.0, 0.0]];
        let mut x: Vec<f32> = (0..3000).map(|index| (index as f32 - 1500.0) / 250.0).collect();
        let odd =
            [f32::NAN, f32::INFINITY, -f32::INFINITY, -0.0, 3.0, -3.0, 1e30, -1e30, 100.0, -100.0];
        x[..odd.len()].copy_from_slice(&odd);
        let gradient: Vec<f32> = x.iter().map(|x| (x * 7.3).sin()).collect();
        let shape = [x.len()];
        let inputs = [&x, &gradient].map(|data| Tensor { data, shape: &shape });
        for (pattern, constants) in PATTERNS.iter().zip(given) {
            let constants = &constants[..pattern.constants];
            let steps = steps(pattern);
            let is_found = found(2, constants, &steps, steps.len() - 1);
            assert_eq!(
                is_found.map(|found| (found.operands, found.steps.len())),
                Some(([0, 1], steps.len()))
            );
            let whole = Expression::new(2, constants.to_vec(), steps.clone()).unwrap();
            let mut together = vec![0.0; x.len()];
            Inline::new(&whole, None, &inputs, &shape)
                .unwrap()
                .run(&mut together, &Serial)
                .unwrap();
            // Each step as an expression of its own, of all that is known by then.
            let mut known: Vec<Vec<f32>> = vec![x.clone(), gradient.clone()];
            known.extend(constants.iter().map(|&number| vec![number; x.len()]));
            for step in steps {
                let alone = Expression::new(known.len(), vec![], vec![step]).unwrap();
                let inputs: Vec<_> =
                    known.iter().map(|data| Tensor { data, shape: &shape }).collect();
                let mut next = vec![0.0; x.len()];
                Inline::new(&alone, None, &inputs, &shape)
                    .unwrap()
                    .run(&mut next, &Serial)
                    .unwrap();
                known.push(next);
            }
            for (index, (got, expected)) in together.iter().zip(&known[known.len() - 1]).enumerate()
            {
                assert!(
                    got == expected || (got.is_nan() && expected.is_nan()),
                    "{}: {got}, {expected}",
                    x[index]
                );
            }
        }
    }

    #[test]
    fn what_others_read_is_no_part_of_a_slope_and_numbers_are_constants() {
        let silu = steps(&PATTERNS[1]);
        assert!(found(2, &[1.0], &silu, 6).is_some());
        let mut read = silu.clone();
        read.push(Step { op: Op::Neg, operands: [7, 0, 0] });
        assert!(found(2, &[1.0], &read, 6).is_none());
        assert!(found(3, &[], &silu, 6).is_none());
        // Sigmoid minus one is not one minus the sigmoid.
        let mut turned = silu;
        turned[3].operands = [3, 2, 0];
        assert!(found(2, &[1.0], &turned, 6).is_none());
    }
}
