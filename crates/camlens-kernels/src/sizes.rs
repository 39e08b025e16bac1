//! Products of sizes that a caller chose.
//!
//! Every pointer that the kernels compute relies on lengths that were compared with such a product.
//! A product that wrapped around could equal the length of a short slice, so it is an error.

use crate::error::InvalidArgument;

/// The product of sizes; 0 where any of them is 0.
///
/// # Errors
/// When it exceeds [`usize::MAX`].
pub(crate) fn product(sizes: &[usize]) -> Result<usize, InvalidArgument> {
    if sizes.contains(&0) {
        return Ok(0);
    }
    let product = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    product.ok_or_else(|| {
        InvalidArgument::new(format!("{sizes:?} is more elements than can be addressed"))
    })
}

#[cfg(test)]
mod tests {
    use super::product;

    #[test]
    fn a_product_is_exact_or_an_error() {
        assert_eq!(product(&[]), Ok(1));
        assert_eq!(product(&[3, 4, 5]), Ok(60));
        assert_eq!(product(&[usize::MAX, 1]), Ok(usize::MAX));
        assert_eq!(product(&[usize::MAX, usize::MAX, 0]), Ok(0));
        let half = 1 << (usize::BITS / 2);
        assert!(product(&[half, half]).is_err());
        assert!(product(&[half, half, 1]).is_err());
    }
}
