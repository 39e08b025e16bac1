//! [`Simd`] for 64-bit ARM: four 128-bit registers.

use std::arch::aarch64::*;

use super::block::Simd;
use crate::block16::Block16;

/// NEON, which every 64-bit ARM has.
pub(crate) struct Neon;

// SAFETY of every block below: the caller guarantees the pointers; NEON is always present.
impl Simd for Neon {
    type V = [float32x4_t; 4];

    #[inline(always)]
    unsafe fn load(src: *const Block16) -> Self::V {
        let src: *const f32 = src.cast();
        std::array::from_fn(|reg| unsafe { vld1q_f32(src.add(4 * reg)) })
    }
    #[inline(always)]
    unsafe fn load_unaligned(src: *const u8) -> Self::V {
        std::array::from_fn(|reg| unsafe { vreinterpretq_f32_u8(vld1q_u8(src.add(16 * reg))) })
    }
    // Stable Rust has no prefetch intrinsic for ARM.
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn store(dst: *mut Block16, value: Self::V) {
        let dst: *mut f32 = dst.cast();
        for (reg, value) in value.into_iter().enumerate() {
            unsafe { vst1q_f32(dst.add(4 * reg), value) };
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { [vdupq_n_f32(value); 4] }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|reg| unsafe { vaddq_f32(a[reg], b[reg]) })
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|reg| unsafe { vsubq_f32(a[reg], b[reg]) })
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|reg| unsafe { vmulq_f32(a[reg], b[reg]) })
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|reg| unsafe { vfmaq_f32(c[reg], a[reg], b[reg]) })
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|reg| unsafe { vmaxq_f32(a[reg], b[reg]) })
    }
}
