//! [`Simd`] in plain Rust: for processors without an implementation of their own, and for Miri.

use super::block::Simd;
use crate::block16::Block16;

/// Arrays of 16 floats; the compiler vectorises what the target allows.
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; Block16::LANES];

    #[inline(always)]
    unsafe fn load(src: *const Block16) -> Self::V {
        // SAFETY: guaranteed by the caller.
        unsafe { (*src).0 }
    }
    #[inline(always)]
    unsafe fn load_unaligned(src: *const u8) -> Self::V {
        // SAFETY: guaranteed by the caller.
        unsafe { src.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn store(dst: *mut Block16, value: Self::V) {
        // SAFETY: guaranteed by the caller.
        unsafe { *dst = Block16(value) };
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; Block16::LANES]
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }
}
