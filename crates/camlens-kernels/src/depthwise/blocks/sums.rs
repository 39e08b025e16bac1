//! The one loop: a line of sums, each of the places that a filter meets there, times its weights, a
//! block of channels at a time.

use crate::depthwise::plan::Axis;
use crate::simd::Processor;
use crate::simd::vector::Vector;

/// A line of the source between its zeros, and the row of the filter that goes over it.
pub(super) type Row = (*const f32, *const f32);

/// Columns of a line of the result that see the filter alike: every one, or on the way back every
/// so many-th.
pub(in crate::depthwise) struct Columns {
    /// The first of them, and how far apart they lie.
    first: usize,
    step: usize,
    count: usize,
    /// How far apart lie the places of the source that they meet, in numbers.
    source_step: usize,
    /// Where the first of them meets the source, and the weight there: places in a [`Row`].
    taps: Vec<(usize, usize)>,
}

impl Columns {
    /// All columns of a line of so many places.
    pub(super) fn of(axis: &Axis, width: usize, lanes: usize) -> Vec<Self> {
        let columns = |first: usize| Self {
            first,
            step: axis.results,
            count: (width - first).div_ceil(axis.results),
            source_step: axis.sources * lanes,
            taps: (axis.taps[first].iter())
                .map(|&(weight, part, offset)| {
                    ((offset * axis.sources + part) * lanes, weight * lanes)
                })
                .collect(),
        };
        (0..axis.results.min(width)).map(columns).collect()
    }
}

/// `sums[first + i·step] = Σ source[i·source_step] · weight`, over all rows and taps.
///
/// # Safety
/// The processor can do it, there are as many sums as the line has places, every row is a whole
/// line, and there are as many places behind every tap as the columns meet.
pub(in crate::depthwise) type Sum = unsafe fn(sums: &mut [f32], columns: &Columns, rows: &[Row]);

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
    use super::{Columns, Row, sum};
    use std::arch::x86_64::{__m256, __m512};

    // SAFETY of every block below: the caller's promise. AVX-512 brings the others along.

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn eight(sums: &mut [f32], columns: &Columns, rows: &[Row]) {
        unsafe { sum::<__m256>(sums, columns, rows) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn twice_eight(sums: &mut [f32], columns: &Columns, rows: &[Row]) {
        unsafe { sum::<[__m256; 2]>(sums, columns, rows) }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn sixteen(sums: &mut [f32], columns: &Columns, rows: &[Row]) {
        unsafe { sum::<__m512>(sums, columns, rows) }
    }
}

/// Sums that are added up at once, at the most: they, a weight and what it is multiplied by are in
/// registers.
const AT_ONCE: usize = 12;

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn sum<V: Vector>(sums: &mut [f32], columns: &Columns, rows: &[Row]) {
    // Groups of like size: a sum by itself takes as long as many, since every addition waits for
    // the one before.
    let groups = columns.count.div_ceil(AT_ONCE);
    let mut at = 0;
    for group in 0..groups {
        let count = columns.count * (group + 1) / groups - at;
        // SAFETY: the caller's promise; the group is inside the columns.
        unsafe {
            match count {
                1 => places::<V, 1>(sums, columns, at, rows),
                2 => places::<V, 2>(sums, columns, at, rows),
                3 => places::<V, 3>(sums, columns, at, rows),
                4 => places::<V, 4>(sums, columns, at, rows),
                5 => places::<V, 5>(sums, columns, at, rows),
                6 => places::<V, 6>(sums, columns, at, rows),
                7 => places::<V, 7>(sums, columns, at, rows),
                8 => places::<V, 8>(sums, columns, at, rows),
                9 => places::<V, 9>(sums, columns, at, rows),
                10 => places::<V, 10>(sums, columns, at, rows),
                11 => places::<V, 11>(sums, columns, at, rows),
                _ => places::<V, AT_ONCE>(sums, columns, at, rows),
            }
        }
        at += count;
    }
}

/// # Safety
/// See [`Sum`].
#[inline(always)]
unsafe fn places<V: Vector, const N: usize>(
    sums: &mut [f32],
    columns: &Columns,
    at: usize,
    rows: &[Row],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = [V::zero(); N];
        for &(line, weights) in rows {
            let line = line.add(at * columns.source_step);
            for &(offset, weight) in &columns.taps {
                let weight = V::load(weights.add(weight));
                for (index, value) in values.iter_mut().enumerate() {
                    let numbers = V::load(line.add(offset + index * columns.source_step));
                    *value = numbers.mul_add(weight, *value);
                }
            }
        }
        for (index, value) in values.into_iter().enumerate() {
            let place = columns.first + (at + index) * columns.step;
            value.store(sums[place * V::LANES..][..V::LANES].as_mut_ptr());
        }
    }
}
