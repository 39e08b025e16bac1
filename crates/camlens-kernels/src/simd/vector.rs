//! Vectors of 8 or 16 floats, for kernels that are generic over the NCHWc block size.

/// One channel block in registers, with the operations that a convolution needs.
///
/// # Safety
/// A method may only run on a processor that has the instructions of the implementing type.
/// Pointers must be valid for [`Vector::LANES`] floats; they need not be aligned.
pub(crate) trait Vector: Copy {
    /// Channels in a block.
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(src: *const f32) -> Self;
    unsafe fn store(self, dst: *mut f32);
    /// `self·b + c`, with a single rounding where the processor has fused multiply-add.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

impl<const N: usize> Vector for [f32; N] {
    const LANES: usize = N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; N]
    }
    #[inline(always)]
    unsafe fn load(src: *const f32) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { src.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32) {
        // SAFETY: guaranteed by the caller.
        unsafe { dst.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * b[lane] + c[lane])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! AVX2 with FMA (one or two 256-bit registers) and AVX-512F.
    use super::Vector;
    use std::arch::x86_64::*;

    // SAFETY of every block below: the caller guarantees the features and the pointers.
    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(src: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(src) }
        }
        #[inline(always)]
        unsafe fn store(self, dst: *mut f32) {
            unsafe { _mm256_storeu_ps(dst, self) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { _mm256_fmadd_ps(self, b, c) }
        }
    }

    impl Vector for [__m256; 2] {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { [__m256::zero(); 2] }
        }
        #[inline(always)]
        unsafe fn load(src: *const f32) -> Self {
            unsafe { [__m256::load(src), __m256::load(src.add(8))] }
        }
        #[inline(always)]
        unsafe fn store(self, dst: *mut f32) {
            unsafe {
                self[0].store(dst);
                self[1].store(dst.add(8));
            }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { [self[0].mul_add(b[0], c[0]), self[1].mul_add(b[1], c[1])] }
        }
    }

    impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(src: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(src) }
        }
        #[inline(always)]
        unsafe fn store(self, dst: *mut f32) {
            unsafe { _mm512_storeu_ps(dst, self) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    //! NEON: two or four 128-bit registers.
    use super::Vector;
    use std::arch::aarch64::*;

    // SAFETY of every block below: the caller guarantees the pointers; NEON is always present.
    impl<const N: usize> Vector for [float32x4_t; N] {
        const LANES: usize = 4 * N;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { [vdupq_n_f32(0.0); N] }
        }
        #[inline(always)]
        unsafe fn load(src: *const f32) -> Self {
            std::array::from_fn(|reg| unsafe { vld1q_f32(src.add(4 * reg)) })
        }
        #[inline(always)]
        unsafe fn store(self, dst: *mut f32) {
            for (reg, value) in self.into_iter().enumerate() {
                unsafe { vst1q_f32(dst.add(4 * reg), value) };
            }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            std::array::from_fn(|reg| unsafe { vfmaq_f32(c[reg], self[reg], b[reg]) })
        }
    }
}
