//! Rounding of sums that were made in 64 bits.

/// The nearest 32-bit float; infinite where the value is too large for one.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(crate) const fn to_f32(value: f64) -> f32 {
    value as f32
}
