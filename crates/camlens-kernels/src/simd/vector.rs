//! Blocks of eight or sixteen channels in registers, for kernels that take either.

/// The numbers of a block of channels, and the little that is done with them.
///
/// # Safety
/// Every method may only run on a processor that has the instructions of the implementing type, and
/// pointers must be valid for [`Vector::LANES`] numbers. They need not be aligned.
pub(crate) trait Vector: Copy {
    /// How many channels there are in a block.
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self·b + c`, rounded once where the processor can.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

impl<const N: usize> Vector for [f32; N] {
    const LANES: usize = N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; N]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * b[lane] + c[lane])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! AVX2 with fused multiply-add, once and twice, and AVX-512F.
    use super::Vector;
    use std::arch::x86_64::*;

    // SAFETY of every block below: the caller promises the features and the pointers.
    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
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
        unsafe fn load(from: *const f32) -> Self {
            unsafe { [__m256::load(from), __m256::load(from.add(8))] }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                self[0].store(to);
                self[1].store(to.add(8));
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
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    //! NEON, as many registers as there are.
    use super::Vector;
    use std::arch::aarch64::*;

    // SAFETY of every block below: the caller promises the pointers.
    impl<const N: usize> Vector for [float32x4_t; N] {
        const LANES: usize = 4 * N;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { [vdupq_n_f32(0.0); N] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            std::array::from_fn(|part| unsafe { vld1q_f32(from.add(4 * part)) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            for (part, value) in self.into_iter().enumerate() {
                unsafe { vst1q_f32(to.add(4 * part), value) };
            }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            std::array::from_fn(|part| unsafe { vfmaq_f32(c[part], self[part], b[part]) })
        }
    }
}
