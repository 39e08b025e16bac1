//! The vector operations on 16 floats that most kernels are written in.

use crate::block16::Block16;

/// Operations on 16 floats held in registers.
///
/// # Safety
/// A method may only run on a processor that has the instructions of the implementing type.
/// Pointers must be valid for a whole [`Block16`].
pub(crate) trait Simd {
    /// The registers that hold 16 floats.
    type V: Copy;

    unsafe fn load(src: *const Block16) -> Self::V;
    /// Loads 16 floats from an address of any alignment.
    unsafe fn load_unaligned(src: *const u8) -> Self::V;
    /// Prefetches the cache line at an address, which need not be valid.
    unsafe fn prefetch(src: *const u8);
    unsafe fn store(dst: *mut Block16, value: Self::V);
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, with a single rounding where the processor has fused multiply-add.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger value; `b` where either is NaN, so that `max(0, x)` propagates a NaN in `x`.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
}
