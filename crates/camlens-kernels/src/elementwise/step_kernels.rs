//! Fused steps on slices: plain loops that the compiler vectorises for each instruction set.

use super::activation_grads::ActivationGrad;
use super::fusion::{PairFirst, PairSecond, StepKind};
use super::types::Op;
use crate::simd::Isa;

/// Runs one fused step. The operands that it reads are as long as `to`.
pub(super) fn run(isa: Isa, kind: StepKind, operands: [&[f32]; 3], to: &mut [f32]) {
    match isa {
        Isa::Portable => loops::<false>(kind, operands, to),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` comes from `Isa::available`, which checks the processor.
        Isa::Avx2 => unsafe { avx2(kind, operands, to) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { avx512(kind, operands, to) },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => loops::<true>(kind, operands, to),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(kind: StepKind, operands: [&[f32]; 3], to: &mut [f32]) {
    loops::<true>(kind, operands, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(kind: StepKind, operands: [&[f32]; 3], to: &mut [f32]) {
    loops::<true>(kind, operands, to);
}

/// `FUSED`: the processor has fused multiply-add.
#[inline(always)]
fn loops<const FUSED: bool>(kind: StepKind, operands: [&[f32]; 3], to: &mut [f32]) {
    match kind {
        StepKind::Single(op) => single::<FUSED>(op, operands, to),
        StepKind::Pair(PairFirst::Add, then) => pair(|a, b| a + b, then, operands, to),
        StepKind::Pair(PairFirst::Sub, then) => pair(|a, b| a - b, then, operands, to),
        StepKind::Pair(PairFirst::Mul, then) => pair(|a, b| a * b, then, operands, to),
        StepKind::Pair(PairFirst::Greater, then) => pair(|a, b| flag(a > b), then, operands, to),
        StepKind::Pair(PairFirst::GreaterOrEqual, then) => {
            pair(|a, b| flag(a >= b), then, operands, to)
        }
        StepKind::ActivationGrad(grad) => activation_grad::<FUSED>(grad, operands, to),
    }
}

/// Two steps in one loop, each with its own rounding.
#[inline(always)]
fn pair(first: impl Fn(f32, f32) -> f32, then: PairSecond, operands: [&[f32]; 3], to: &mut [f32]) {
    match then {
        PairSecond::Add => three(operands, to, |a, b, c| first(a, b) + c),
        PairSecond::Sub => three(operands, to, |a, b, c| first(a, b) - c),
        PairSecond::SubFrom => three(operands, to, |a, b, c| c - first(a, b)),
        PairSecond::Mul => three(operands, to, |a, b, c| first(a, b) * c),
    }
}

/// An activation function's gradient, rounded as its steps are one by one.
#[inline(always)]
fn activation_grad<const FUSED: bool>(
    grad: ActivationGrad,
    [x, upstream, _]: [&[f32]; 3],
    to: &mut [f32],
) {
    match grad {
        ActivationGrad::HardSwish { slope, offset, low, high } => {
            two(x, upstream, to, |x, upstream| {
                let is_between = flag(x > low) * flag(high > x);
                upstream * (is_between * (x * slope + offset) + flag(x >= high))
            })
        }
        ActivationGrad::Silu { one } => two(x, upstream, to, |x, upstream| {
            let sigmoid = sigmoid::<FUSED>(x);
            upstream * sigmoid + upstream * x * (sigmoid * (one - sigmoid))
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
    1.0 / (1.0 + exp_clamped::<FUSED>(-x))
}

/// Below this, eˣ is subnormal or zero.
const LOW: f32 = -87.336_54;
/// Above this, the factor 2ⁿ in [`exp_clamped`] overflows.
const HIGH: f32 = 88.376_26;

/// eˣ, flushed to 0 and ∞ outside the range from `LOW` to `HIGH`.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    let within = if x < LOW { 0.0 } else { exp_clamped::<FUSED>(x) };
    if x > HIGH { f32::INFINITY } else { within }
}

/// eˣ, with x clamped to the range from `LOW` to `HIGH`.
///
/// Without branches and calls, loops over it vectorise: x = n·ln 2 + r, and eˣ is 2ⁿ times the
/// Taylor series of eʳ for the small remainder r.
#[inline(always)]
fn exp_clamped<const FUSED: bool>(x: f32) -> f32 {
    /// 1.5·2²³: adding it to a value leaves the rounded value in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has so few significant bits that its product with n is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// 1/k! from k = 7 down to 0.
    const SERIES: [f32; 8] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let clamped = if x > HIGH { HIGH } else { x };
    let clamped = if clamped < LOW { LOW } else { clamped };
    let rounded = mul_add::<FUSED>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let remainder = mul_add::<FUSED>(n, -LN_2[1], mul_add::<FUSED>(n, -LN_2[0], clamped));
    let mut sum = SERIES[0];
    for coefficient in SERIES[1..].iter().copied() {
        sum = mul_add::<FUSED>(sum, remainder, coefficient);
    }
    // 2ⁿ, assembled from its exponent bits.
    sum * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// `a·b + c`. [`f32::mul_add`] is a library call on processors without the instruction.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
