//! The one loop: a sum of one long row at several offsets, each times a weight.

use crate::lanes::Lanes;
use crate::simd::{Portable, Processor, Simd};

/// `sums[i] = Σ source[i + tap.offset] · weight`.
///
/// # Safety
/// The processor can do it, and `source` has as many numbers behind every tap's offset as all of
/// `sums`.
pub(super) type Correlate =
    unsafe fn(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]);

/// The loop for this processor.
pub(super) const fn correlate_of(processor: Processor) -> Correlate {
    match processor {
        Processor::Portable => correlate::<Portable>,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Processor::Neon => correlate::<crate::simd::arm::Neon>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<crate::simd::x86::Avx2>(sums, source, taps) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<crate::simd::x86::Avx512>(sums, source, taps) }
}

/// Blocks that are summed up at once: as many sums as keep the processor's adders busy.
const AT_ONCE: usize = 4;

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn correlate<S: Simd>(sums: &mut [Lanes], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: the caller's promise: the source reaches as far from every tap as the sums.
    unsafe {
        let (many, few) = sums.as_chunks_mut::<AT_ONCE>();
        let done = many.len() * AT_ONCE * Lanes::COUNT;
        for (index, sums) in many.iter_mut().enumerate() {
            blocks::<S, AT_ONCE>(sums, source.add(index * AT_ONCE * Lanes::COUNT), taps);
        }
        for (index, sum) in few.iter_mut().enumerate() {
            blocks::<S, 1>(
                std::array::from_mut(sum),
                source.add(done + index * Lanes::COUNT),
                taps,
            );
        }
    }
}

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn blocks<S: Simd, const N: usize>(
    sums: &mut [Lanes; N],
    source: *const f32,
    taps: &[(usize, f32)],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = [S::splat(0.0); N];
        for &(offset, weight) in taps {
            let weight = S::splat(weight);
            for (index, value) in values.iter_mut().enumerate() {
                let numbers = S::load_bytes(source.add(offset + index * Lanes::COUNT).cast());
                *value = S::mul_add(numbers, weight, *value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            S::store(sum, value);
        }
    }
}
