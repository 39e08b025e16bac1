//! Cache keys: typed, and hashed field by field with SHA-256.

use std::hash::{Hash, Hasher};

use ndarray::ArrayViewD;
use sha2::{Digest, Sha256};

use crate::graph::program_io::GradientOf;

/// The SHA-256 of a key.
pub(super) type KeyHash = [u8; 32];

/// What a cached value depends on. Keys about one image contain the hash of the image's key.
#[derive(Hash)]
pub(super) enum CacheKey<'a> {
    /// A forward pass of `input` by the program of a model's layer.
    Image { model: &'a str, layer: &'a str, input: Values<'a> },
    /// A gradient at the layer.
    Gradient { image: KeyHash, of: GradientOf, class: usize, contrast: Option<usize> },
    /// The image, with another image shown where a mask is 0.
    WithBackdrop { image: KeyHash, backdrop: Values<'a> },
    /// The scores of the image seen through a mask.
    Masked { image: KeyHash, mask: Values<'a> },
    /// The masks of a set, which is itself a hashed key.
    MaskSet { image: KeyHash, set: KeyHash },
}

impl CacheKey<'_> {
    pub(super) fn hash(&self) -> KeyHash {
        sha256(self)
    }
}

/// The SHA-256 of any key whose type says what its fields are.
pub(super) fn sha256(key: &(impl Hash + ?Sized)) -> KeyHash {
    let mut hasher = Sha256Hasher(Sha256::new());
    key.hash(&mut hasher);
    hasher.0.finalize().into()
}

/// The shape and the values of an array, bit by bit.
pub(super) struct Values<'a>(pub(super) ArrayViewD<'a, f32>);

impl Hash for Values<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        const CHUNK_BYTES: usize = 1 << 14;
        self.0.shape().hash(state);
        // Value by value, the calls would take longer than the hash.
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        for value in &self.0 {
            bytes.extend_from_slice(&value.to_ne_bytes());
            if bytes.len() == CHUNK_BYTES {
                state.write(&bytes);
                bytes.clear();
            }
        }
        state.write(&bytes);
    }
}

/// Lets types that derive [`Hash`] be hashed with SHA-256: cached scores must not be those of
/// another image, so 64 bits are too few.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash: KeyHash = self.0.clone().finalize().into();
        hash.into_iter().take(8).fold(0, |value, byte| value << 8 | u64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn keys_differ_in_every_field_and_every_value() {
        let zeros = Array4::zeros((1, 3, 2, 2));
        let key = |model, layer, input: &Array4<f32>| {
            CacheKey::Image { model, layer, input: Values(input.view().into_dyn()) }.hash()
        };
        let mut almost_zeros = zeros.clone();
        almost_zeros[[0, 2, 1, 1]] = 1e-30;
        let image = key("a", "b", &zeros);
        let gradient =
            |of, class, contrast| CacheKey::Gradient { image, of, class, contrast }.hash();
        let keys = [
            image,
            key("ab", "", &zeros),
            key("a", "c", &zeros),
            key("a", "b", &almost_zeros),
            key("a", "b", &Array4::zeros((1, 2, 3, 2))),
            gradient(GradientOf::Logit, 1, None),
            gradient(GradientOf::Probability, 1, None),
            gradient(GradientOf::Logit, 2, None),
            gradient(GradientOf::Logit, 1, Some(0)),
            CacheKey::Masked { image, mask: Values(zeros.view().into_dyn()) }.hash(),
            CacheKey::WithBackdrop { image, backdrop: Values(zeros.view().into_dyn()) }.hash(),
            CacheKey::MaskSet { image, set: sha256(&("scorecam", 8)) }.hash(),
            CacheKey::MaskSet { image, set: sha256(&("scorecam", 9)) }.hash(),
        ];
        let distinct: std::collections::HashSet<KeyHash> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(image, key("a", "b", &zeros.clone()));
    }
}
