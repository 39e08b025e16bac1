//! The one loop: sums of places at several offsets, each times the weights of a block of channels.

use crate::simd::Processor;
use crate::simd::vector::Vector;

/// Where what one weight of every channel multiplies begins, and these weights.
pub(super) type Tap = (*const f32, *const f32);

/// Columns of a line of the result, and how far apart lie those that they meet.
#[derive(Clone, Copy)]
pub(in crate::depthwise) struct Columns {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) source_step: usize,
}

/// `sums[first + i·step] = Σ tap[i·source_step] · weights`, everything in blocks of channels.
///
/// # Safety
/// The processor can do it, the columns are inside the sums, and there are as many places behind every tap as they meet.
pub(in crate::depthwise) type Sum = unsafe fn(sums: &mut [f32], columns: Columns, taps: &[Tap]);

/// The loop for this processor and so many channels in a block, if there are such blocks.
pub(in crate::depthwise) const fn sum_of(processor: Processor, lanes: usize) -> Option<Sum> {
    Some(match (processor, lanes) {
        (Processor::Portable, 8) => sum::<[f32; 8]>,
        (Processor::Portable, 16) => sum::<[f32; 16]>,
        #[cfg(target_arch = "x86_64")]
        (Processor::Avx2 | Processor::Avx512, 8) => x86::eight,
        #[cfg(target_arch = "x86_64")]
        (Processor::Avx2, 16) => x86::twice_eight,
        #[cfg(target_arch = "x86_64")]
        (Processor::Avx512, 16) => x86::sixteen,
        #[cfg(target_arch = "aarch64")]
        (Processor::Neon, 8) => sum::<[std::arch::aarch64::float32x4_t; 2]>,
        #[cfg(target_arch = "aarch64")]
        (Processor::Neon, 16) => sum::<[std::arch::aarch64::float32x4_t; 4]>,
        _ => return None,
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The loop with the processor's features switched on.
    use super::{Columns, Tap, sum};
    use std::arch::x86_64::{__m256, __m512};

    // SAFETY of every block below: the caller's promise. AVX-512 brings the others along.

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn eight(sums: &mut [f32], columns: Columns, taps: &[Tap]) {
        unsafe { sum::<__m256>(sums, columns, taps) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn twice_eight(sums: &mut [f32], columns: Columns, taps: &[Tap]) {
        unsafe { sum::<[__m256; 2]>(sums, columns, taps) }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn sixteen(sums: &mut [f32], columns: Columns, taps: &[Tap]) {
        unsafe { sum::<__m512>(sums, columns, taps) }
    }
}

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn sum<V: Vector>(sums: &mut [f32], columns: Columns, taps: &[Tap]) {
    let mut at = 0;
    // SAFETY: the caller's promise.
    unsafe {
        // As many at once as keep the processor's adders busy.
        while at + 8 <= columns.count {
            places::<V, 8>(sums, columns, at, taps);
            at += 8;
        }
        if at + 4 <= columns.count {
            places::<V, 4>(sums, columns, at, taps);
            at += 4;
        }
        while at < columns.count {
            places::<V, 1>(sums, columns, at, taps);
            at += 1;
        }
    }
}

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn places<V: Vector, const N: usize>(sums: &mut [f32], columns: Columns, at: usize, taps: &[Tap]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = [V::zero(); N];
        for &(from, weights) in taps {
            let weights = V::load(weights);
            for (index, value) in values.iter_mut().enumerate() {
                let numbers = V::load(from.add((at + index) * columns.source_step * V::LANES));
                *value = numbers.mul_add(weights, *value);
            }
        }
        for (index, value) in values.into_iter().enumerate() {
            let place = columns.first + (at + index) * columns.step;
            value.store(sums[place * V::LANES..][..V::LANES].as_mut_ptr());
        }
    }
}
