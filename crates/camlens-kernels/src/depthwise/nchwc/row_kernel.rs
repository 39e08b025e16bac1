//! The inner loop for NCHWc maps: one output line as a weighted sum of input lines, a channel block
//! per vector.

use crate::depthwise::plan::AxisPlan;
use crate::simd::{Isa, Vector};

/// A framed input line, and the row of the filter that it is multiplied by.
pub(super) type Row = (*const f32, *const f32);

/// Output columns that read the input with the same taps: all of them forward, every stride-th
/// transposed.
pub(in crate::depthwise) struct ColumnGroup {
    /// The first column, and the distance to the next.
    first: usize,
    step: usize,
    count: usize,
    /// Distance between the inputs of two columns, in floats.
    source_step: usize,
    /// Offsets of the first column's inputs in the line, and of the weights in the filter's row.
    taps: Vec<(usize, usize)>,
}

impl ColumnGroup {
    /// The groups that make up an output line of `width` positions.
    pub(super) fn all(axis: &AxisPlan, width: usize, lanes: usize) -> Vec<Self> {
        let group = |first: usize| Self {
            first,
            step: axis.out_phases,
            count: (width - first).div_ceil(axis.out_phases),
            source_step: axis.in_phases * lanes,
            taps: (axis.taps[first].iter())
                .map(|tap| ((tap.offset * axis.in_phases + tap.phase) * lanes, tap.index * lanes))
                .collect(),
        };
        (0..axis.out_phases.min(width)).map(group).collect()
    }
}

/// `sums[first + i·step] = Σ source[i·source_step + offset] · weight`, over all rows and taps.
///
/// # Safety
/// The processor has the kernel's instructions. `sums` is a whole output line, every row is a whole
/// framed line and a row of the filter, and lines reach as far as the columns' taps.
pub(in crate::depthwise) type RowKernel =
    unsafe fn(sums: &mut [f32], columns: &ColumnGroup, rows: &[Row]);

/// The kernel for an instruction set and channel block size, if that size is supported.
pub(in crate::depthwise) const fn row_kernel_for(isa: Isa, lanes: usize) -> Option<RowKernel> {
    Some(match (isa, lanes) {
        (Isa::Portable, 8) => sum_row::<[f32; 8]>,
        (Isa::Portable, 16) => sum_row::<[f32; 16]>,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::Avx512, 8) => x86::one_256,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, 16) => x86::two_256,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 16) => x86::one_512,
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, 8) => sum_row::<[std::arch::aarch64::float32x4_t; 2]>,
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, 16) => sum_row::<[std::arch::aarch64::float32x4_t; 4]>,
        _ => return None,
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The loop with the processor's features enabled, by number and width of registers.
    use super::{ColumnGroup, Row, sum_row};
    use std::arch::x86_64::{__m256, __m512};

    // SAFETY of every block below: guaranteed by the caller. AVX-512 implies AVX2 and FMA.

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn one_256(sums: &mut [f32], columns: &ColumnGroup, rows: &[Row]) {
        unsafe { sum_row::<__m256>(sums, columns, rows) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn two_256(sums: &mut [f32], columns: &ColumnGroup, rows: &[Row]) {
        unsafe { sum_row::<[__m256; 2]>(sums, columns, rows) }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn one_512(sums: &mut [f32], columns: &ColumnGroup, rows: &[Row]) {
        unsafe { sum_row::<__m512>(sums, columns, rows) }
    }
}

/// Most positions that are summed up at once: their sums, a weight and an input fit the registers.
const AT_ONCE: usize = 12;

/// # Safety
/// See [`RowKernel`].
#[inline(always)]
unsafe fn sum_row<V: Vector>(sums: &mut [f32], columns: &ColumnGroup, rows: &[Row]) {
    // Groups of similar size: a lone sum takes as long as many, since each of its additions waits
    // for the one before.
    let groups = columns.count.div_ceil(AT_ONCE);
    let mut at = 0;
    for group in 0..groups {
        let count = columns.count * (group + 1) / groups - at;
        // SAFETY: guaranteed by the caller; the group is inside the columns.
        unsafe {
            match count {
                1 => sum_positions::<V, 1>(sums, columns, at, rows),
                2 => sum_positions::<V, 2>(sums, columns, at, rows),
                3 => sum_positions::<V, 3>(sums, columns, at, rows),
                4 => sum_positions::<V, 4>(sums, columns, at, rows),
                5 => sum_positions::<V, 5>(sums, columns, at, rows),
                6 => sum_positions::<V, 6>(sums, columns, at, rows),
                7 => sum_positions::<V, 7>(sums, columns, at, rows),
                8 => sum_positions::<V, 8>(sums, columns, at, rows),
                9 => sum_positions::<V, 9>(sums, columns, at, rows),
                10 => sum_positions::<V, 10>(sums, columns, at, rows),
                11 => sum_positions::<V, 11>(sums, columns, at, rows),
                _ => sum_positions::<V, AT_ONCE>(sums, columns, at, rows),
            }
        }
        at += count;
    }
}

/// # Safety
/// See [`RowKernel`].
#[inline(always)]
unsafe fn sum_positions<V: Vector, const N: usize>(
    sums: &mut [f32],
    columns: &ColumnGroup,
    at: usize,
    rows: &[Row],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut values = [V::zero(); N];
        for &(line, weights) in rows {
            let line = line.add(at * columns.source_step);
            for &(offset, weight) in &columns.taps {
                let weight = V::load(weights.add(weight));
                for (index, value) in values.iter_mut().enumerate() {
                    let inputs = V::load(line.add(offset + index * columns.source_step));
                    *value = inputs.mul_add(weight, *value);
                }
            }
        }
        for (index, value) in values.into_iter().enumerate() {
            let position = columns.first + (at + index) * columns.step;
            value.store(sums[position * V::LANES..][..V::LANES].as_mut_ptr());
        }
    }
}
