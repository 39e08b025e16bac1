//! Expressions against plain Rust, element by element.

use proptest::prelude::*;

use super::bound::BoundExpression;
use super::expression::Expression;
use super::types::{Op, Step, Tensor};
use crate::block16::NCHWC_BLOCKS;
use crate::error::InvalidArgument;
use crate::executor::{Executor, ScopedThreads, Serial};
use crate::rounding::to_f32;
use crate::simd::Isa;

fn tensor<'a>(data: &'a [f32], shape: &'a [usize]) -> Tensor<'a> {
    Tensor { data, shape }
}

fn run_on(
    isa: Isa,
    expression: &Expression,
    inputs: &[Tensor<'_>],
    output: &mut [f32],
    executor: &dyn Executor,
) -> Result<(), InvalidArgument> {
    let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
    let shape = Expression::broadcast_shape(&shapes)?;
    BoundExpression::new(expression, None, inputs, &shape)?.run_on(isa, output, executor)
}

fn run(
    expression: &Expression,
    inputs: &[Tensor<'_>],
    output: &mut [f32],
    executor: &dyn Executor,
) -> Result<(), InvalidArgument> {
    run_on(Isa::detect(), expression, inputs, output, executor)
}

fn step(op: Op, operands: [usize; 3]) -> Step {
    Step { op, operands }
}

fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 37 + seed * 11) % 101) as f32 / 10.0 - 5.0).collect()
}

#[test]
fn every_operation_matches_plain_rust_with_every_instruction_set() {
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
            Op::Exp => |a, _, _| to_f32(f64::from(a).exp()),
            Op::Sigmoid => |a, _, _| to_f32(1.0 / (1.0 + (-f64::from(a)).exp())),
            Op::Greater => |a, b, _| f32::from(u8::from(a > b)),
            Op::GreaterOrEqual => |a, b, _| f32::from(u8::from(a >= b)),
            Op::Equal => |a, b, _| f32::from(u8::from(a == b)),
            Op::And => |a, b, _| f32::from(u8::from(a != 0.0 && b != 0.0)),
            Op::Or => |a, b, _| f32::from(u8::from(a != 0.0 || b != 0.0)),
            Op::Not => |a, _, _| f32::from(u8::from(a == 0.0)),
            Op::Select => |a, b, c| if a != 0.0 { b } else { c },
            Op::HardSwish => |a, _, _| {
                let a = f64::from(a);
                // NaN stays NaN.
                to_f32(
                    a * if a < -3.0 {
                        0.0
                    } else if a > 3.0 {
                        1.0
                    } else {
                        a / 6.0 + 0.5
                    },
                )
            },
        }
    };
    let conditions: Vec<f32> = (0..1500).map(|index| flag(index % 3 == 0)).collect();
    let mut special = values(1500, 1);
    special[..8].copy_from_slice(&[
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        -f32::INFINITY,
        88.0,
        -87.0,
        100.0,
    ]);
    for (op, isa) in
        Op::ALL.into_iter().flat_map(|op| Isa::available().into_iter().map(move |isa| (op, isa)))
    {
        let takes_conditions = matches!(op, Op::And | Op::Or | Op::Not | Op::Select);
        let a = if takes_conditions { &conditions } else { &special };
        let b = if matches!(op, Op::And | Op::Or) { conditions.clone() } else { values(1500, 2) };
        let c = values(1500, 3);
        let expression = Expression::new(3, vec![], vec![step(op, [0, 1, 2])]).unwrap();
        let mut output = vec![0.0; 1500];
        let inputs = [a, &b, &c].map(|data| tensor(data, &[1500]));
        run_on(isa, &expression, &inputs, &mut output, &Serial).unwrap();
        for (index, &got) in output.iter().enumerate() {
            let expected = plain(op)(a[index], b[index], c[index]);
            let tolerance = match op {
                Op::Exp | Op::Sigmoid => 2.0 * f32::EPSILON * expected.abs(),
                // The error is relative to the factor near 1, however small the product is.
                Op::HardSwish => 2.0 * f32::EPSILON * a[index].abs(),
                _ => 0.0,
            };
            let same = got == expected
                || (got.is_nan() && expected.is_nan())
                || (got - expected).abs() <= tolerance.max(f32::MIN_POSITIVE);
            assert!(same, "{op:?} of {} with {isa:?}: {got} instead of {expected}", a[index]);
        }
    }
}

#[test]
fn a_long_expression_reuses_buffers_without_overwriting_live_values() {
    // (a + b)·a, then differences and sums of the last two values in turn.
    let mut steps = vec![step(Op::Add, [0, 1, 0]), step(Op::Mul, [2, 0, 0])];
    for index in 2..20 {
        steps.push(step(if index % 2 == 0 { Op::Sub } else { Op::Add }, [index, index + 1, 0]));
    }
    let expression = Expression::new(2, vec![], steps.clone()).unwrap();
    assert_eq!(expression.buffer_count, 3);
    let (a, b) = (values(5000, 4), values(5000, 5));
    let mut output = vec![0.0; 5000];
    let inputs = [tensor(&a, &[5000]), tensor(&b, &[5000])];
    run(&expression, &inputs, &mut output, &ScopedThreads(2)).unwrap();
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }))]
    #[test]
    fn any_expression_equals_its_steps_one_by_one(
        drawn in prop::collection::vec((0..7_usize, 0..100_usize, 0..100_usize), 1..16),
    ) {
        const OPS: [Op; 7] = [
            Op::Identity,
            Op::Add,
            Op::Sub,
            Op::Mul,
            Op::Greater,
            Op::GreaterOrEqual,
            Op::Neg,
        ];
        let data = [values(700, 7), values(700, 8)];
        let given = data.len() + 1;
        let steps: Vec<Step> = (drawn.iter().enumerate())
            .map(|(index, &(op, a, b))| {
                let known = given + index;
                step(OPS[op], [a % known, b % known, 0])
            })
            .collect();
        let mut known = data.to_vec();
        known.push(vec![0.5; 700]);
        for Step { op, operands: [a, b, _] } in &steps {
            let next = known[*a].iter().zip(&known[*b]).map(|(a, b)| match op {
                Op::Identity => *a,
                Op::Add => a + b,
                Op::Sub => a - b,
                Op::Mul => a * b,
                Op::Greater => f32::from(u8::from(a > b)),
                Op::GreaterOrEqual => f32::from(u8::from(a >= b)),
                _ => -a,
            });
            known.push(next.collect());
        }
        let expression = Expression::new(2, vec![0.5], steps).unwrap();
        let inputs = [tensor(&data[0], &[700]), tensor(&data[1], &[700])];
        for isa in Isa::available() {
            let mut output = vec![0.0; 700];
            run_on(isa, &expression, &inputs, &mut output, &Serial).unwrap();
            // The difference of two infinities is NaN.
            let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
            let expected = &known[known.len() - 1];
            prop_assert!(output.iter().zip(expected).all(|(&got, &expected)| same(got, expected)));
        }
    }
}

#[test]
fn operations_are_listed_by_index() {
    assert!(Op::ALL.iter().enumerate().all(|(index, op)| *op as usize == index));
}

#[test]
fn constants_are_numbered_between_inputs_and_steps() {
    let steps = vec![step(Op::Mul, [0, 1, 0]), step(Op::Sub, [3, 2, 0])];
    let expression = Expression::new(1, vec![3.0, 0.5], steps).unwrap();
    let x = values(2000, 6);
    let mut output = vec![0.0; 2000];
    run(&expression, &[tensor(&x, &[2000])], &mut output, &Serial).unwrap();
    assert!(output.iter().zip(&x).all(|(&got, &x)| got == x * 3.0 - 0.5));
}

#[test]
fn inputs_are_broadcast_as_in_numpy() {
    let shape = [2, 3, 20, 30];
    let sizes: [&[usize]; 7] =
        [&shape, &[2, 3, 1, 1], &[30], &[], &[3, 1, 30], &[2, 1, 20, 1], &[1, 1, 1, 1, 1]];
    let data: Vec<Vec<f32>> = sizes
        .iter()
        .enumerate()
        .map(|(seed, sizes)| values(sizes.iter().product(), seed))
        .collect();
    let steps =
        (0..6).map(|index| step(Op::Add, [if index == 0 { 0 } else { 6 + index }, index + 1, 0]));
    let expression = Expression::new(7, vec![], steps.collect()).unwrap();
    let inputs: Vec<Tensor<'_>> =
        data.iter().zip(sizes).map(|(data, sizes)| tensor(data, sizes)).collect();
    assert_eq!(Expression::broadcast_shape(&sizes).unwrap(), [1, 2, 3, 20, 30]);
    let mut output = vec![0.0; 3600];
    run(&expression, &inputs, &mut output, &ScopedThreads(2)).unwrap();
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
fn invalid_expressions_and_wrong_shapes_are_rejected() {
    assert!(Expression::new(1, vec![], vec![]).is_err());
    assert!(Expression::new(1, vec![], vec![step(Op::Add, [0, 1, 0])]).is_err());
    let add = Expression::new(2, vec![], vec![step(Op::Add, [0, 1, 0])]).unwrap();
    let (a, b) = ([1.0; 6], [1.0; 4]);
    let mut output = [0.0; 6];
    assert!(run(&add, &[tensor(&a, &[6]), tensor(&b, &[4])], &mut output, &Serial).is_err());
    assert!(run(&add, &[tensor(&a, &[6]), tensor(&b, &[1])], &mut output, &Serial).is_err());
    assert!(run(&add, &[tensor(&a, &[6])], &mut output, &Serial).is_err());
    assert!(
        run(&add, &[tensor(&a, &[6]), tensor(&b[..1], &[1])], &mut output[..5], &Serial).is_err()
    );
    let streamed = BoundExpression::new(&add, Some(0), &[tensor(&a, &[6])], &[6]).unwrap();
    assert!(streamed.run(&mut output, &Serial).is_err());
    run(&add, &[tensor(&[], &[0, 3]), tensor(&b[..3], &[3])], &mut [], &Serial).unwrap();
}

#[test]
fn channel_sums_add_up_every_channel_of_every_map() {
    let mul = Expression::new(2, vec![], vec![step(Op::Mul, [0, 1, 0])]).unwrap();
    for lanes in NCHWC_BLOCKS {
        // Three maps, each longer than a chunk.
        let (shape, positions) = ([3, 9, 31, lanes], 279);
        let (x, gate) = (values(3 * positions * lanes, 1), values(3 * lanes, 2));
        let gate_shape = [3, 1, 1, lanes];
        let inputs = [tensor(&x, &shape), tensor(&gate, &gate_shape)];
        let product = BoundExpression::new(&mul, None, &inputs, &shape).unwrap();
        let mut sums = vec![f32::NAN; 3 * lanes];
        product.channel_sums([positions, lanes], &mut sums, &ScopedThreads(2)).unwrap();
        for (index, sum) in sums.iter().enumerate() {
            let (map, lane) = (index / lanes, index % lanes);
            let values = (0..positions)
                .map(|position| x[(map * positions + position) * lanes + lane] * gate[index]);
            let expected: f64 = values.map(f64::from).sum();
            assert!(
                (f64::from(*sum) - expected).abs() < 1e-3,
                "sum {index} is {sum} instead of {expected}"
            );
        }
        assert!(product.channel_sums([positions, lanes], &mut sums[..2 * lanes], &Serial).is_err());
        assert!(product.channel_sums([positions - 1, lanes], &mut sums, &Serial).is_err());
        assert!(product.channel_sums([positions, lanes + 1], &mut sums, &Serial).is_err());
    }
}
