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
//! ±2, ∞ produce values of very different magnitudes, which costs precision. The points 0, ±√½,
//! ±√2, ∞ are pairs of reciprocals and cost less (Barabasz et al., arXiv 1803.10986, analyse the
//! choice of points). With M(x) = x(x²−½)(x²−2) = x⁵ − 2.5x³ + x, row p of Bᵀ holds the
//! coefficients of M(x)/(x−p), row p of G is (1, p, p²)/M′(p), and column p of Aᵀ holds the powers
//! of p.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges whose indices mirror the equations"
)]

use super::geometry::{PATCH, TILE};
use crate::block16::Block16;
use crate::simd::Simd;

/// Multiplications per tile and pair of channels.
pub(super) const POSITIONS: usize = PATCH * PATCH;

const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
const ROOT_2: f32 = std::f32::consts::SQRT_2;

/// G g Gᵀ for one 3×3 filter, row-major. Computed in 64 bits: it runs once per model, and every
/// later result depends on it.
pub(super) fn transform_filter(filter: &[f32; 9]) -> [f32; POSITIONS] {
    let (a, b) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
    // (1, p, p²) / M′(p); M′ is 1 at 0, −3/2 at ±√½ and 6 at ±√2. The point ∞ takes the last
    // coefficient.
    let points: [[f64; 3]; PATCH] = [
        [1.0, 0.0, 0.0],
        [-2.0 / 3.0, -2.0 / 3.0 * a, -1.0 / 3.0],
        [-2.0 / 3.0, 2.0 / 3.0 * a, -1.0 / 3.0],
        [1.0 / 6.0, b / 6.0, 1.0 / 3.0],
        [1.0 / 6.0, -b / 6.0, 1.0 / 3.0],
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
        (0..3).map(|x| columns[row][x] * points[column][x]).sum::<f64>() as f32
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
        let (a, b) = (S::splat(ROOT_HALF), S::splat(ROOT_2));
        let (two, half) = (S::splat(-2.0), S::splat(-0.5));
        let five_halves = S::splat(-2.5);
        // The polynomials of p and −p share the even part and differ in the sign of the odd part.
        let even_a = S::mul_add(d[2], two, d[4]);
        let odd_a = S::mul_add(d[3], a, S::mul(d[1], S::splat(-ROOT_2)));
        let even_b = S::mul_add(d[2], half, d[4]);
        let odd_b = S::mul_add(d[3], b, S::mul(d[1], S::splat(-ROOT_HALF)));
        [
            S::mul_add(d[2], five_halves, S::add(d[0], d[4])),
            S::add(even_a, odd_a),
            S::sub(even_a, odd_a),
            S::add(even_b, odd_b),
            S::sub(even_b, odd_b),
            S::mul_add(d[3], five_halves, S::add(d[1], d[5])),
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
        // Powers 0 to 3 of √½ and √2. The point ∞ contributes to the highest power alone.
        [
            S::add(m[0], S::add(sum_a, sum_b)),
            S::mul_add(difference_a, S::splat(ROOT_HALF), S::mul(difference_b, S::splat(ROOT_2))),
            S::mul_add(sum_a, S::splat(0.5), S::add(sum_b, sum_b)),
            S::mul_add(
                difference_a,
                S::splat(ROOT_HALF / 2.0),
                S::mul_add(difference_b, S::splat(2.0 * ROOT_2), m[5]),
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
