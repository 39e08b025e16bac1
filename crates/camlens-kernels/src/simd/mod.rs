//! The vector operations that the kernels are written in, and the instruction sets they run on.
//!
//! A kernel is written once, generic over [`Simd`] or [`Vector`], and instantiated once per
//! instruction set inside a function with `#[target_feature]`. Everything in between is
//! `#[inline(always)]`, so the intrinsics are inlined into a function that has the feature
//! enabled. Callers choose the instantiation with [`Isa::detect`], which checks the processor.

#[cfg(target_arch = "aarch64")]
pub(crate) mod aarch64;
mod block;
mod isa;
mod portable;
mod vector;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

pub(crate) use block::Simd;
pub(crate) use isa::Isa;
pub use isa::has_exact_int8_dot;
pub(crate) use portable::Portable;
pub(crate) use vector::Vector;
