//! The few vector operations that the kernels are written in, for each kind of processor.
//!
//! A kernel is written once, generic over [`Simd`], and compiled once for each
//! kind inside a function that enables the processor's features; everything between is
//! always inlined, so the intrinsics end up where the features are on.

pub(crate) mod vector;

use crate::lanes::Lanes;

/// What kind of vectors this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    /// Any; also what Miri runs.
    Portable,
    /// AVX2 with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Processor {
    /// All that this one can run as, the best last.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg_attr(miri, expect(unused_mut))]
        let mut all = vec![Self::Portable];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        all.push(Self::Neon);
        all
    }

    /// The best that this one can run as.
    pub(crate) fn detect() -> Self {
        Self::all().pop().unwrap_or(Self::Portable)
    }
}

/// Whether this processor multiplies bytes and adds the products without a number in between that
/// is too small for them. x86 without VNNI adds pairs in 16 bits and cuts off what is over, and
/// ONNX Runtime's kernels of integers let it.
#[must_use]
pub fn sums_bytes_exactly() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    true
}

/// Sixteen floats in registers.
///
/// # Safety
/// Every method may only run on a processor that has the instructions of the implementing type, and
/// pointers must be valid for a whole [`Lanes`].
pub(crate) trait Simd {
    /// The registers that hold 16 floats.
    type V: Copy;

    unsafe fn load(from: *const Lanes) -> Self::V;
    /// From an address that is aligned to nothing.
    unsafe fn load_bytes(from: *const u8) -> Self::V;
    /// Asks for the cache line at an address that will be read soon; it need not be valid.
    unsafe fn prefetch(from: *const u8);
    unsafe fn store(to: *mut Lanes, value: Self::V);
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, rounded once where the processor can.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN, so that `max(0, x)` lets a NaN through.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
}

/// Plain Rust, for processors without an implementation of their own and for Miri.
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; Lanes::COUNT];

    #[inline(always)]
    unsafe fn load(from: *const Lanes) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { (*from).0 }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn store(to: *mut Lanes, value: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { *to = Lanes(value) };
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; Lanes::COUNT]
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

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    //! One 512-bit register, or two of 256 bits.
    use super::{Lanes, Simd};
    use std::arch::x86_64::*;

    /// AVX-512F.
    pub(crate) struct Avx512;

    // SAFETY of every block below: the caller promises the features and the pointers.
    impl Simd for Avx512 {
        type V = __m512;

        #[inline(always)]
        unsafe fn load(from: *const Lanes) -> Self::V {
            unsafe { _mm512_load_ps(from.cast()) }
        }
        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> Self::V {
            unsafe { _mm512_loadu_ps(from.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const u8) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Lanes, value: Self::V) {
            unsafe { _mm512_store_ps(to.cast(), value) }
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

    /// AVX2 with fused multiply-add.
    pub(crate) struct Avx2;

    // SAFETY of every block below: the caller promises the features and the pointers.
    impl Simd for Avx2 {
        type V = [__m256; 2];

        #[inline(always)]
        unsafe fn load(from: *const Lanes) -> Self::V {
            let from: *const f32 = from.cast();
            unsafe { [_mm256_load_ps(from), _mm256_load_ps(from.add(8))] }
        }
        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> Self::V {
            unsafe { [_mm256_loadu_ps(from.cast()), _mm256_loadu_ps(from.add(32).cast())] }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const u8) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Lanes, value: Self::V) {
            let to: *mut f32 = to.cast();
            unsafe {
                _mm256_store_ps(to, value[0]);
                _mm256_store_ps(to.add(8), value[1]);
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
}

#[cfg(target_arch = "aarch64")]
pub(crate) mod arm {
    //! Four registers of 128 bits.
    use super::{Lanes, Simd};
    use std::arch::aarch64::*;

    /// NEON, which every 64-bit ARM has.
    pub(crate) struct Neon;

    // SAFETY of every block below: the caller promises the pointers.
    impl Simd for Neon {
        type V = [float32x4_t; 4];

        #[inline(always)]
        unsafe fn load(from: *const Lanes) -> Self::V {
            let from: *const f32 = from.cast();
            std::array::from_fn(|part| unsafe { vld1q_f32(from.add(4 * part)) })
        }
        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> Self::V {
            std::array::from_fn(|part| unsafe {
                vreinterpretq_f32_u8(vld1q_u8(from.add(16 * part)))
            })
        }
        // Stable Rust has no such instruction for ARM.
        #[inline(always)]
        unsafe fn prefetch(_: *const u8) {}
        #[inline(always)]
        unsafe fn store(to: *mut Lanes, value: Self::V) {
            let to: *mut f32 = to.cast();
            for (part, value) in value.into_iter().enumerate() {
                unsafe { vst1q_f32(to.add(4 * part), value) };
            }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::V {
            unsafe { [vdupq_n_f32(value); 4] }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            std::array::from_fn(|part| unsafe { vaddq_f32(a[part], b[part]) })
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            std::array::from_fn(|part| unsafe { vsubq_f32(a[part], b[part]) })
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            std::array::from_fn(|part| unsafe { vmulq_f32(a[part], b[part]) })
        }
        #[inline(always)]
        unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            std::array::from_fn(|part| unsafe { vfmaq_f32(c[part], a[part], b[part]) })
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            std::array::from_fn(|part| unsafe { vmaxq_f32(a[part], b[part]) })
        }
    }
}
