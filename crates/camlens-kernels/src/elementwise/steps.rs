//! The steps on slices: plain loops, which the compiler makes vector code of for each kind of
//! processor.

use super::Op;
use super::passes::{First, Kind, Second};
use super::slopes::Slope;
use crate::simd::Processor;

/// Does one pass; operands that it takes are as long as `to`.
pub(super) fn run(processor: Processor, kind: Kind, operands: [&[f32]; 3], to: &mut [f32]) {
    match processor {
        Processor::Portable => loops::<false>(kind, operands, to),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the features.
        Processor::Avx2 => unsafe { avx2(kind, operands, to) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Processor::Avx512 => unsafe { avx512(kind, operands, to) },
        #[cfg(target_arch = "aarch64")]
        Processor::Neon => loops::<true>(kind, operands, to),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(kind: Kind, operands: [&[f32]; 3], to: &mut [f32]) {
    loops::<true>(kind, operands, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(kind: Kind, operands: [&[f32]; 3], to: &mut [f32]) {
    loops::<true>(kind, operands, to);
}

/// `FUSED` says that the processor multiplies and adds in one instruction.
#[inline(always)]
fn loops<const FUSED: bool>(kind: Kind, operands: [&[f32]; 3], to: &mut [f32]) {
    match kind {
        Kind::One(op) => single::<FUSED>(op, operands, to),
        Kind::Two(First::Add, then) => pair(|a, b| a + b, then, operands, to),
        Kind::Two(First::Sub, then) => pair(|a, b| a - b, then, operands, to),
        Kind::Two(First::Mul, then) => pair(|a, b| a * b, then, operands, to),
        Kind::Two(First::Greater, then) => pair(|a, b| flag(a > b), then, operands, to),
        Kind::Two(First::GreaterOrEqual, then) => pair(|a, b| flag(a >= b), then, operands, to),
        Kind::Slope(of) => slope::<FUSED>(of, operands, to),
    }
}

/// Two steps in one go. They round as each does alone.
#[inline(always)]
fn pair(first: impl Fn(f32, f32) -> f32, then: Second, operands: [&[f32]; 3], to: &mut [f32]) {
    match then {
        Second::Add => three(operands, to, |a, b, c| first(a, b) + c),
        Second::Sub => three(operands, to, |a, b, c| first(a, b) - c),
        Second::SubFrom => three(operands, to, |a, b, c| c - first(a, b)),
        Second::Mul => three(operands, to, |a, b, c| first(a, b) * c),
    }
}

/// A gradient carried back. It rounds as the slope's steps do one by one.
#[inline(always)]
fn slope<const FUSED: bool>(slope: Slope, [x, gradient, _]: [&[f32]; 3], to: &mut [f32]) {
    match slope {
        Slope::HardSwish { steepness, middle, low, high } => two(x, gradient, to, |x, gradient| {
            let rises = flag(x > low) * flag(high > x);
            gradient * (rises * (x * steepness + middle) + flag(x >= high))
        }),
        Slope::Silu { one } => two(x, gradient, to, |x, gradient| {
            let sigmoid = sigmoid::<FUSED>(x);
            gradient * sigmoid + gradient * x * (sigmoid * (one - sigmoid))
        }),
    }
}

#[inline(always)]
fn single<const FUSED: bool>(op: Op, operands: [&[f32]; 3], to: &mut [f32]) {
    let [a, b, _] = operands;
    match op {
        Op::Identity => to.copy_from_slice(a),
        Op::Add => two(a, b, to, |a, b| a + b),
        Op::Sub => two(a, b, to, |a, b| a - b),
        Op::Mul => two(a, b, to, |a, b| a * b),
        Op::Div => two(a, b, to, |a, b| a / b),
        Op::Neg => one(a, to, |a| -a),
        Op::Abs => one(a, to, f32::abs),
        Op::Sqrt => one(a, to, f32::sqrt),
        Op::Reciprocal => one(a, to, |a| 1.0 / a),
        Op::Exp => one(a, to, exp::<FUSED>),
        Op::Sigmoid => one(a, to, sigmoid::<FUSED>),
        Op::Greater => two(a, b, to, |a, b| flag(a > b)),
        Op::GreaterOrEqual => two(a, b, to, |a, b| flag(a >= b)),
        Op::Equal => two(a, b, to, |a, b| flag(a == b)),
        Op::And => two(a, b, to, |a, b| a * b),
        Op::Or => two(a, b, to, f32::max),
        Op::Not => one(a, to, |a| 1.0 - a),
        Op::HardSwish => one(a, to, |a| {
            let slope = mul_add::<FUSED>(a, 1.0 / 6.0, 0.5);
            let above = if slope < 0.0 { 0.0 } else { slope };
            a * if above > 1.0 { 1.0 } else { above }
        }),
        Op::Select => three(operands, to, |a, b, c| if a != 0.0 { b } else { c }),
    }
}

#[inline(always)]
fn one(a: &[f32], to: &mut [f32], step: impl Fn(f32) -> f32) {
    for (to, &a) in to.iter_mut().zip(a) {
        *to = step(a);
    }
}

#[inline(always)]
fn two(a: &[f32], b: &[f32], to: &mut [f32], step: impl Fn(f32, f32) -> f32) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to = step(a, b);
    }
}

#[inline(always)]
fn three([a, b, c]: [&[f32]; 3], to: &mut [f32], step: impl Fn(f32, f32, f32) -> f32) {
    for (((to, &a), &b), &c) in to.iter_mut().zip(a).zip(b).zip(c) {
        *to = step(a, b, c);
    }
}

#[inline(always)]
fn flag(condition: bool) -> f32 {
    if condition { 1.0 } else { 0.0 }
}

#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp_within::<FUSED>(-x))
}

/// Where eˣ leaves the normal numbers.
const LOW: f32 = -87.336_54;
/// Where 2ⁿ does, to which eˣ is a factor.
const HIGH: f32 = 88.376_26;

/// eˣ; 0 and ∞ where it is no normal number.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    let within = if x < LOW { 0.0 } else { exp_within::<FUSED>(x) };
    if x > HIGH { f32::INFINITY } else { within }
}

/// eˣ, beyond both bounds what it is there. It has no branch and no call, which loops over vectors
/// can't have: x = n·ln 2 + r, and the series of eʳ for the small rest.
#[inline(always)]
fn exp_within<const FUSED: bool>(x: f32) -> f32 {
    /// Added to a number, it leaves the rounded number in the lowest bits.
    const ROUNDS: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has so few digits that its product with n is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// 1/k! from k = 7 down to 0.
    const SERIES: [f32; 8] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let within = if x > HIGH { HIGH } else { x };
    let within = if within < LOW { LOW } else { within };
    let rounded = mul_add::<FUSED>(within, std::f32::consts::LOG2_E, ROUNDS);
    let n = rounded - ROUNDS;
    let rest = mul_add::<FUSED>(n, -LN_2[1], mul_add::<FUSED>(n, -LN_2[0], within));
    let mut sum = SERIES[0];
    for coefficient in SERIES[1..].iter().copied() {
        sum = mul_add::<FUSED>(sum, rest, coefficient);
    }
    // The exponent's bits of 2ⁿ.
    sum * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// `a·b + c`. Where it is no instruction, [`f32::mul_add`] is a call.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
