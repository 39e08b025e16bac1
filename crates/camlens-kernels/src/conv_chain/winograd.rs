//! Winograd's minimal filtering algorithm F(4×4, 3×3) (Lavin and Gray 2016, arXiv 1509.09308).
//!
//! Computed directly, a 4×4 tile of a 3×3 convolution takes 144 multiplications per pair of
//! channels. This algorithm takes 36:
//!
//! `Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A`
//!
//! for a filter g, the 6×6 input patch d and the 4×4 output tile Y. Between the transforms, each of
//! the 36 positions is an independent matrix product over channels and tiles.
//!
//! The matrices follow from six points at which polynomials are evaluated. The usual points 0, ±1,
//! ±2, ∞ produce values of very different magnitudes, which costs precision. Points near ±√½ and
//! ±√2, which are reciprocals, cost less (Barabasz et al., arXiv 1803.10986, analyse the choice of
//! points). Roots have no exact 32-bit value, and their rounding errors act on every layer in the
//! same way, so that they add up. The points here are 0, ±a, ±2a, ∞ with a = 45/64 ≈ √½, of which
//! every power and product that the matrices hold is exact.
//!
//! With M(x) = x(x²−a²)(x²−b²) and b = 2a, row p of Bᵀ holds the coefficients of M(x)/(x−p), row p
//! of G is (1, p, p²)/M′(p), and column p of Aᵀ holds the powers of p.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges whose indices mirror the equations"
)]

use super::geometry::{PATCH, TILE};
use crate::block16::Block16;
use crate::rounding::to_f32;
use crate::simd::Simd;

/// Multiplications per tile and pair of channels.
pub(super) const POSITIONS: usize = PATCH * PATCH;

/// The points of evaluation besides 0 and ∞ are ±A and ±B.
const A: f32 = 45.0 / 64.0;
const B: f32 = 2.0 * A;

/// G g Gᵀ for one 3×3 filter, row-major. Computed in 64 bits: it runs once per model, and every
/// later result depends on it.
pub(super) fn transform_filter(filter: &[f32; 9]) -> [f32; POSITIONS] {
    let (a, b) = (f64::from(A), f64::from(B));
    // (1, p, p²) / M′(p). The point ∞ takes the last coefficient.
    let row = |p: f64, derivative: f64| [1.0, p, p * p].map(|power| power / derivative);
    let at_a = 2.0 * a * a * (a * a - b * b);
    let at_b = 2.0 * b * b * (b * b - a * a);
    let points: [[f64; 3]; PATCH] = [
        row(0.0, a * a * b * b),
        row(a, at_a),
        row(-a, at_a),
        row(b, at_b),
        row(-b, at_b),
        [0.0, 0.0, 1.0],
    ];
    let mut columns = [[0.0; 3]; PATCH];
    for (row, point) in columns.iter_mut().zip(&points) {
        for (x, value) in row.iter_mut().enumerate() {
            *value = (0..3).map(|y| point[y] * f64::from(filter[3 * y + x])).sum();
        }
    }
    std::array::from_fn(|position| {
        let (row, column) = (position / PATCH, position % PATCH);
        to_f32((0..3).map(|x| columns[row][x] * points[column][x]).sum())
    })
}

/// Bᵀ d for one column of a patch.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn transform_column<S: Simd>(d: [S::V; PATCH]) -> [S::V; PATCH] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (a, b) = (S::splat(A), S::splat(B));
        let (a_squared, b_squared) = (S::splat(-A * A), S::splat(-B * B));
        let (sum, product) = (S::splat(-A * A - B * B), S::splat(A * A * B * B));
        // The polynomials of p and −p share the even part and differ in the sign of the odd part.
        let even_a = S::mul_add(d[2], b_squared, d[4]);
        let odd_a = S::mul_add(d[3], a, S::mul(d[1], S::splat(-A * B * B)));
        let even_b = S::mul_add(d[2], a_squared, d[4]);
        let odd_b = S::mul_add(d[3], b, S::mul(d[1], S::splat(-A * A * B)));
        [
            S::mul_add(d[2], sum, S::mul_add(d[0], product, d[4])),
            S::add(even_a, odd_a),
            S::sub(even_a, odd_a),
            S::add(even_b, odd_b),
            S::sub(even_b, odd_b),
            S::mul_add(d[3], sum, S::mul_add(d[1], product, d[5])),
        ]
    }
}

/// Bᵀ d B, where `patch(y, x)` reads d.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_patch<S: Simd>(
    patch: impl Fn(usize, usize) -> S::V,
) -> [[S::V; PATCH]; PATCH] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut half = [[S::splat(0.0); PATCH]; PATCH];
        for x in 0..PATCH {
            let column = transform_column::<S>([
                patch(0, x),
                patch(1, x),
                patch(2, x),
                patch(3, x),
                patch(4, x),
                patch(5, x),
            ]);
            for y in 0..PATCH {
                half[y][x] = column[y];
            }
        }
        let mut whole = half;
        for y in 0..PATCH {
            whole[y] = transform_column::<S>(half[y]);
        }
        whole
    }
}

/// Aᵀ m for one column of the element-wise product m.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn transform_products<S: Simd>(m: [S::V; PATCH]) -> [S::V; TILE] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        // Powers 0 to 3 of both points. The point ∞ contributes to the highest power alone.
        [
            S::add(m[0], S::add(sum_a, sum_b)),
            S::mul_add(difference_a, S::splat(A), S::mul(difference_b, S::splat(B))),
            S::mul_add(sum_a, S::splat(A * A), S::mul(sum_b, S::splat(B * B))),
            S::mul_add(
                difference_a,
                S::splat(A * A * A),
                S::mul_add(difference_b, S::splat(B * B * B), m[5]),
            ),
        ]
    }
}

/// Aᵀ m A, where m is read from `products`: 36 blocks, `stride` blocks apart.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_tile<S: Simd>(
    products: *const Block16,
    stride: usize,
) -> [[S::V; TILE]; TILE] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let at = |y: usize, x: usize| S::load(products.add((PATCH * y + x) * stride));
        let mut half = [[S::splat(0.0); PATCH]; TILE];
        for x in 0..PATCH {
            let column = transform_products::<S>([
                at(0, x),
                at(1, x),
                at(2, x),
                at(3, x),
                at(4, x),
                at(5, x),
            ]);
            for y in 0..TILE {
                half[y][x] = column[y];
            }
        }
        let mut whole = [[S::splat(0.0); TILE]; TILE];
        for y in 0..TILE {
            whole[y] = transform_products::<S>(half[y]);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    #[test]
    fn a_transformed_tile_equals_the_direct_convolution() {
        let filter: [f32; 9] = std::array::from_fn(|i| (i as f32 * 0.7).sin());
        let input: [[f32; PATCH]; PATCH] =
            std::array::from_fn(|y| std::array::from_fn(|x| ((y * 7 + x * 3) as f32).cos()));
        let weights = transform_filter(&filter);
        // SAFETY: the portable implementation needs no features; `products` holds all 36 blocks.
        let tile = unsafe {
            let patch = transform_patch::<Portable>(|y, x| [input[y][x]; Block16::LANES]);
            let products: [Block16; POSITIONS] = std::array::from_fn(|position| {
                Block16(
                    patch[position / PATCH][position % PATCH]
                        .map(|value| value * weights[position]),
                )
            });
            transform_tile::<Portable>(products.as_ptr(), 1)
        };
        for (y, row) in tile.iter().enumerate() {
            for (x, value) in row.iter().enumerate() {
                let expected: f32 = (0..9).map(|i| filter[i] * input[y + i / 3][x + i % 3]).sum();
                assert!(
                    (value[5] - expected).abs() < 5e-6,
                    "({y}, {x}): {} instead of {expected}",
                    value[5]
                );
            }
        }
    }
}
