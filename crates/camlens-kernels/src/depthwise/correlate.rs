//! The inner loop for `[N, C, H, W]` maps: a sum of one long row at several offsets, each times a
//! weight.

use crate::block16::Block16;
use crate::simd::{Isa, Portable, Simd};

/// `sums[i] = Σ source[i + offset] · weight` over the taps `(offset, weight)`.
///
/// # Safety
/// The processor has the kernel's instructions. From every tap's offset on, `source` holds at least
/// as many floats as `sums`.
pub(super) type Correlate =
    unsafe fn(sums: &mut [Block16], source: *const f32, taps: &[(usize, f32)]);

/// The loop for an instruction set.
pub(super) const fn correlate_for(isa: Isa) -> Correlate {
    match isa {
        Isa::Portable => correlate::<Portable>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => correlate::<crate::simd::aarch64::Neon>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sums: &mut [Block16], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: guaranteed by the caller.
    unsafe { correlate::<crate::simd::x86::Avx2>(sums, source, taps) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(sums: &mut [Block16], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: guaranteed by the caller.
    unsafe { correlate::<crate::simd::x86::Avx512>(sums, source, taps) }
}

/// Blocks that are summed up at once: enough independent sums to hide the latency of an addition.
const AT_ONCE: usize = 4;

/// Taps that are summed up before they are added to the total, so that large filters lose no digits:
/// up to 7×7 in two sums.
const TAPS_PER_PARTIAL_SUM: usize = 32;

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn correlate<S: Simd>(sums: &mut [Block16], source: *const f32, taps: &[(usize, f32)]) {
    // SAFETY: guaranteed by the caller: the source reaches as far from every tap as the sums.
    unsafe {
        let (many, few) = sums.as_chunks_mut::<AT_ONCE>();
        let done = many.len() * AT_ONCE * Block16::LANES;
        for (index, sums) in many.iter_mut().enumerate() {
            correlate_blocks::<S, AT_ONCE>(
                sums,
                source.add(index * AT_ONCE * Block16::LANES),
                taps,
            );
        }
        for (index, sum) in few.iter_mut().enumerate() {
            correlate_blocks::<S, 1>(
                std::array::from_mut(sum),
                source.add(done + index * Block16::LANES),
                taps,
            );
        }
    }
}

/// # Safety
/// See [`Correlate`].
#[inline(always)]
unsafe fn correlate_blocks<S: Simd, const N: usize>(
    sums: &mut [Block16; N],
    source: *const f32,
    taps: &[(usize, f32)],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut totals = [S::splat(0.0); N];
        for taps in taps.chunks(TAPS_PER_PARTIAL_SUM) {
            let mut values = [S::splat(0.0); N];
            for &(offset, weight) in taps {
                let weight = S::splat(weight);
                for (index, value) in values.iter_mut().enumerate() {
                    let from = source.add(offset + index * Block16::LANES);
                    *value = S::mul_add(S::load_unaligned(from.cast()), weight, *value);
                }
            }
            for (total, value) in totals.iter_mut().zip(values) {
                *total = S::add(*total, value);
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            S::store(sum, total);
        }
    }
}
