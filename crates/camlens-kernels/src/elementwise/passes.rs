//! From steps to passes over a block. Reading and writing a block takes longer than most steps
//! take, so copies fall away, slopes are one pass, and so are two steps of which the second alone
//! reads the first.

use super::slopes::{Search, Slope};
use super::{Op, Step};

/// The first of two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Add,
    Sub,
    Mul,
    Greater,
    GreaterOrEqual,
}

/// The second, with what the first gives and another operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    Add,
    /// The first less the other.
    Sub,
    /// The other less the first.
    SubFrom,
    Mul,
}

/// What is done in one go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    One(Op),
    /// The first takes two operands, the second the third.
    Two(First, Second),
    /// All steps of a slope, which takes two operands.
    Slope(Slope),
}

/// One pass, its operands as [`Step`] counts them, passes in the place of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pass {
    pub(super) kind: Kind,
    pub(super) operands: [usize; 3],
}

impl Pass {
    /// The operands that it takes.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        let count = match self.kind {
            Kind::One(op) => op.operands(),
            Kind::Two(..) => 3,
            Kind::Slope(_) => 2,
        };
        self.operands.into_iter().take(count)
    }
}

/// The passes that give what the steps give, each of which reads only what comes before it. So many
/// inputs come before these constants and the steps.
pub(super) fn of(inputs: usize, constants: &[f32], steps: &[Step]) -> Vec<Pass> {
    let given = inputs + constants.len();
    joined(given, constants, &without_copies(given, steps))
}

/// The steps without those that only copy, unless one gives the result.
fn without_copies(given: usize, steps: &[Step]) -> Vec<Step> {
    let mut places: Vec<usize> = (0..given).collect();
    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    for (index, &step) in steps.iter().enumerate() {
        let step = Step { operands: moved(step, &places), ..step };
        if step.op == Op::Identity && index + 1 < steps.len() {
            places.push(step.operands[0]);
        } else {
            places.push(given + kept.len());
            kept.push(step);
        }
    }
    kept
}

/// A step's operands where they are now. One that it does not take may have been any number.
fn moved(step: Step, places: &[usize]) -> [usize; 3] {
    step.operands.map(|operand| places.get(operand).copied().unwrap_or(0))
}

/// Steps that become one pass, and the result of the last of them.
fn joined(given: usize, constants: &[f32], steps: &[Step]) -> Vec<Pass> {
    let mut readers = vec![0; given + steps.len()];
    for step in steps {
        step.reads().for_each(|operand| readers[operand] += 1);
    }
    let mut joins: Vec<Join> = vec![Join::Alone; steps.len()];
    // From the last on: what belongs to a slope is no slope's end.
    let search = Search { given, constants, steps, readers: &readers };
    for index in (0..steps.len()).rev() {
        let Some(found) = search.at(index).filter(|_| joins[index] == Join::Alone) else {
            continue;
        };
        found.steps.iter().for_each(|&step| joins[step] = Join::Taken);
        joins[index] = Join::Slope(found.slope, found.operands);
    }
    for (index, step) in steps.iter().enumerate() {
        if joins[index] != Join::Alone {
            continue;
        }
        let taken = (0..2).find_map(|place| {
            let value = step.operands[place];
            let earlier = value.checked_sub(given)?;
            let fits = second(step.op, place).is_some()
                && readers[value] == 1
                && joins[earlier] == Join::Alone
                && first(steps[earlier].op).is_some();
            fits.then_some((earlier, place))
        });
        if let Some((earlier, place)) = taken {
            joins[index] = Join::Pair(earlier, place);
            joins[earlier] = Join::Taken;
        }
    }
    let mut places: Vec<usize> = (0..given).collect();
    let mut passes: Vec<Pass> = Vec::new();
    for (&step, join) in steps.iter().zip(joins) {
        // What is taken in has no place of its own, and nobody asks for it.
        places.push(given + passes.len());
        let alone = || (Kind::One(step.op), moved(step, &places));
        let (kind, operands) = match join {
            Join::Taken => continue,
            Join::Alone => alone(),
            Join::Pair(earlier, place) => {
                let [a, b, _] = moved(steps[earlier], &places);
                let other = moved(step, &places)[1 - place];
                match (first(steps[earlier].op), second(step.op, place)) {
                    (Some(first), Some(second)) => (Kind::Two(first, second), [a, b, other]),
                    _ => alone(),
                }
            }
            Join::Slope(slope, [x, gradient]) => {
                (Kind::Slope(slope), [places[x], places[gradient], 0])
            }
        };
        passes.push(Pass { kind, operands });
    }
    passes
}

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Join {
    /// It is a pass.
    Alone,
    /// Another does it.
    Taken,
    /// It does this earlier one as well, which gives its operand at this place.
    Pair(usize, usize),
    /// It is the last of a slope's steps.
    Slope(Slope, [usize; 2]),
}

/// A step as the first of two.
fn first(op: Op) -> Option<First> {
    match op {
        Op::Add => Some(First::Add),
        Op::Sub => Some(First::Sub),
        // Conditions are 0 and 1.
        Op::Mul | Op::And => Some(First::Mul),
        Op::Greater => Some(First::Greater),
        Op::GreaterOrEqual => Some(First::GreaterOrEqual),
        _ => None,
    }
}

/// A step as the second of two, of which the first gives the operand at `place`.
fn second(op: Op, place: usize) -> Option<Second> {
    match (op, place) {
        (Op::Add, _) => Some(Second::Add),
        (Op::Sub, 0) => Some(Second::Sub),
        (Op::Sub, _) => Some(Second::SubFrom),
        (Op::Mul | Op::And, _) => Some(Second::Mul),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(op: Op, operands: &[usize]) -> Step {
        Step {
            op,
            operands: std::array::from_fn(|place| operands.get(place).copied().unwrap_or(0)),
        }
    }

    #[test]
    fn a_step_that_another_alone_reads_becomes_part_of_it() {
        // x·s + g·s·(1 − s), of g, x, and 1.
        let steps = [
            step(Op::Sigmoid, &[1]),
            step(Op::Mul, &[1, 3]),
            step(Op::Sub, &[2, 3]),
            step(Op::Mul, &[3, 5]),
            step(Op::Mul, &[0, 6]),
            step(Op::Add, &[4, 7]),
        ];
        let two = |first, second, operands| Pass { kind: Kind::Two(first, second), operands };
        let expected = [
            Pass { kind: Kind::One(Op::Sigmoid), operands: [1, 0, 0] },
            two(First::Sub, Second::Mul, [2, 3, 3]),
            Pass { kind: Kind::One(Op::Mul), operands: [0, 4, 0] },
            two(First::Mul, Second::Add, [1, 3, 5]),
        ];
        assert_eq!(of(2, &[1.0], &steps), expected);
    }

    #[test]
    fn a_slope_is_one_pass_among_others() {
        // What comes before and after it stays by itself; the slope's own steps may stand in
        // another order.
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
            Pass { kind: Kind::One(Op::Add), operands: [0, 0, 0] },
            Pass { kind: Kind::Slope(Slope::Silu { one: 1.0 }), operands: [1, 3, 0] },
            Pass { kind: Kind::One(Op::Neg), operands: [4, 0, 0] },
        ];
        assert_eq!(of(2, &[1.0], &steps), expected);
    }

    #[test]
    fn order_counts_where_it_matters_and_a_square_is_no_pair() {
        let works = |op, operands: &[usize]| {
            let steps = [step(Op::Add, &[0, 1]), step(op, operands)];
            of(2, &[], &steps).iter().map(|pass| pass.kind).collect::<Vec<_>>()
        };
        assert_eq!(works(Op::Sub, &[2, 0]), [Kind::Two(First::Add, Second::Sub)]);
        assert_eq!(works(Op::Sub, &[0, 2]), [Kind::Two(First::Add, Second::SubFrom)]);
        assert_eq!(works(Op::Mul, &[2, 2]), [Kind::One(Op::Add), Kind::One(Op::Mul)]);
        assert_eq!(works(Op::Div, &[2, 0]), [Kind::One(Op::Add), Kind::One(Op::Div)]);
    }

    #[test]
    fn copies_fall_away_but_for_a_result() {
        let steps = [step(Op::Identity, &[0]), step(Op::Neg, &[1]), step(Op::Identity, &[2])];
        let passes = of(1, &[], &steps);
        let expected = [(Op::Neg, 0), (Op::Identity, 1)];
        assert_eq!(passes.len(), 2);
        for (pass, (op, operand)) in passes.iter().zip(expected) {
            assert_eq!((pass.kind, pass.operands[0]), (Kind::One(op), operand));
        }
    }
}
