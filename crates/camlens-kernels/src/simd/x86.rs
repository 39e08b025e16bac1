//! [`Simd`] for x86-64: one 512-bit register, or two 256-bit registers.

use std::arch::x86_64::*;

use super::block::Simd;
use crate::block16::Block16;

/// AVX-512F.
pub(crate) struct Avx512;

// SAFETY of every block below: the caller guarantees the features and the pointers.
impl Simd for Avx512 {
    type V = __m512;

    #[inline(always)]
    unsafe fn load(src: *const Block16) -> Self::V {
        unsafe { _mm512_load_ps(src.cast()) }
    }
    #[inline(always)]
    unsafe fn load_unaligned(src: *const u8) -> Self::V {
        unsafe { _mm512_loadu_ps(src.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch(src: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(src.cast()) }
    }
    #[inline(always)]
    unsafe fn store(dst: *mut Block16, value: Self::V) {
        unsafe { _mm512_store_ps(dst.cast(), value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }
}

/// AVX2 with fused multiply-add (FMA).
pub(crate) struct Avx2;

// SAFETY of every block below: the caller guarantees the features and the pointers.
impl Simd for Avx2 {
    type V = [__m256; 2];

    #[inline(always)]
    unsafe fn load(src: *const Block16) -> Self::V {
        let src: *const f32 = src.cast();
        unsafe { [_mm256_load_ps(src), _mm256_load_ps(src.add(8))] }
    }
    #[inline(always)]
    unsafe fn load_unaligned(src: *const u8) -> Self::V {
        unsafe { [_mm256_loadu_ps(src.cast()), _mm256_loadu_ps(src.add(32).cast())] }
    }
    #[inline(always)]
    unsafe fn prefetch(src: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(src.cast()) }
    }
    #[inline(always)]
    unsafe fn store(dst: *mut Block16, value: Self::V) {
        let dst: *mut f32 = dst.cast();
        unsafe {
            _mm256_store_ps(dst, value[0]);
            _mm256_store_ps(dst.add(8), value[1]);
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { [_mm256_set1_ps(value); 2] }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
    }
}
