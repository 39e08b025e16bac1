//! LRU cache of inference results, keyed by SHA-256 of model, layer and input.
//!
//! The output of a pass depends on the model, the layer whose program runs, and the input tensor,
//! so equal keys give the same bytes. Requests that differ in class, convention or colours share
//! the passes that they have in common. The cache holds at most `limit_bytes` and drops the least
//! recently used results first. A limit of 0 switches it off.

mod key;
mod lru_store;

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, Array4, ArrayView1, ArrayView2, Axis};

use self::key::{CacheKey, KeyHash, Values, sha256};
use self::lru_store::{Forward, LruStore, Value};
use super::session::{PassOutput, PassRequest, predicted};
use crate::graph::program_io::GradientOf;

/// Cached results of all models. Clones share them.
#[derive(Clone)]
pub struct Cache {
    limit_bytes: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    store: Mutex<LruStore>,
    forward: Counts,
    masked: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Counts {
    fn count(&self, is_hit: bool) {
        if is_hit { &self.hits } else { &self.misses }.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

/// Hits, misses and size of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Hits and misses of passes of whole images.
    pub forward: (u64, u64),
    /// Hits and misses of passes of masked images.
    pub masked: (u64, u64),
    /// Size of the cached results, in bytes.
    pub bytes: usize,
}

/// The cached results of one image for the program of one layer.
pub(super) struct CachedImage<'a> {
    cache: &'a Cache,
    key: KeyHash,
}

impl Cache {
    /// An empty cache of at most `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, shared: Arc::default() }
    }

    /// Hits, misses and size since the start.
    #[must_use]
    pub fn usage(&self) -> CacheStats {
        let Shared { forward, masked, .. } = &*self.shared;
        CacheStats { forward: forward.read(), masked: masked.read(), bytes: self.store().bytes }
    }

    /// The entry of an input, `[1, …]`; `None` when the cache is off or the batch is larger.
    pub(super) fn image(
        &self,
        model: &str,
        layer: &str,
        input: &Array4<f32>,
    ) -> Option<CachedImage<'_>> {
        if self.limit_bytes == 0 || input.shape()[0] != 1 {
            return None;
        }
        let input = Values(input.view().into_dyn());
        Some(CachedImage { cache: self, key: CacheKey::Image { model, layer, input }.hash() })
    }

    fn store(&self) -> MutexGuard<'_, LruStore> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: KeyHash, value: Value) {
        self.store().insert(key, value, self.limit_bytes);
    }
}

impl<'a> CachedImage<'a> {
    /// The output of a pass, if all that it requests is cached.
    pub(super) fn output(&self, pass: &PassRequest) -> Option<PassOutput> {
        let found = self.find(pass);
        self.cache.shared.forward.count(found.is_some());
        found
    }

    fn find(&self, pass: &PassRequest) -> Option<PassOutput> {
        // Each lookup takes the lock separately, so that no other thread waits while arrays are
        // copied.
        let Some(Value::Forward(cached)) = self.cache.store().get(&self.key) else { return None };
        let Forward { scores, probabilities, activation, doubtful_gates } = &*cached;
        let mut gradients = Vec::new();
        for class in classes(pass, scores.view()) {
            let key = self.gradient_key(pass, class);
            let Some(Value::Gradient(gradient)) = self.cache.store().get(&key) else {
                return None;
            };
            gradients.push(gradient);
        }
        let gradients = gradients.iter().map(|gradient| (**gradient).clone()).collect();
        let activation = if pass.activation { Some(activation.as_ref()?.clone()) } else { None };
        let (scores, probabilities) = (scores.clone(), probabilities.clone());
        Some(PassOutput {
            scores,
            probabilities,
            activation,
            gradients,
            side_inputs: Vec::new(),
            from_cache: true,
            doubtful_gates: *doubtful_gates,
        })
    }

    /// Stores the output of a pass.
    pub(super) fn store(&self, pass: &PassRequest, output: &PassOutput) {
        // A pass that requested less must not replace a cached activation.
        if output.activation.is_some()
            || !matches!(self.cache.store().get(&self.key), Some(Value::Forward(_)))
        {
            let PassOutput { scores, probabilities, activation, doubtful_gates, .. } =
                output.clone();
            let forward = Forward { scores, probabilities, activation, doubtful_gates };
            self.cache.insert(self.key, Value::Forward(Arc::new(forward)));
        }
        for (class, gradient) in
            classes(pass, output.scores.view()).into_iter().zip(&output.gradients)
        {
            let key = self.gradient_key(pass, class);
            self.cache.insert(key, Value::Gradient(Arc::new(gradient.clone())));
        }
    }

    fn gradient_key(&self, pass: &PassRequest, class: usize) -> KeyHash {
        let (of, contrast) = (pass.gradient_of, pass.contrast);
        CacheKey::Gradient { image: self.key, of, class, contrast }.hash()
    }

    /// The entry of this image with another image shown where a mask is 0.
    pub(super) fn with_backdrop(&self, backdrop: &Array4<f32>) -> Self {
        let backdrop = Values(backdrop.view().into_dyn());
        let key = CacheKey::WithBackdrop { image: self.key, backdrop }.hash();
        Self { cache: self.cache, key }
    }

    /// The entry of this image seen through a mask `[H, W]`.
    pub(super) fn masked(&self, mask: ArrayView2<'_, f32>) -> CachedMask<'a> {
        let mask = Values(mask.into_dyn());
        let key = CacheKey::Masked { image: self.key, mask }.hash();
        CachedMask { cache: self.cache, key }
    }

    /// The entries of a set of masks, if the set is cached.
    pub(super) fn mask_set(&self, set: MaskSetKey) -> Option<Vec<CachedMask<'a>>> {
        let Some(Value::MaskSet(keys)) = self.cache.store().get(&self.mask_set_key(set)) else {
            return None;
        };
        Some(keys.iter().map(|&key| CachedMask { cache: self.cache, key }).collect())
    }

    /// Stores which masks a set has.
    pub(super) fn store_mask_set(&self, set: MaskSetKey, masks: &[CachedMask<'_>]) {
        let keys = masks.iter().map(|mask| mask.key).collect();
        self.cache.insert(self.mask_set_key(set), Value::MaskSet(keys));
    }

    fn mask_set_key(&self, MaskSetKey(set): MaskSetKey) -> KeyHash {
        CacheKey::MaskSet { image: self.key, set }.hash()
    }
}

/// Identifies the masks of a set: for one image, equal keys have the same masks in the same order.
#[derive(Clone, Copy)]
pub(super) struct MaskSetKey(KeyHash);

impl MaskSetKey {
    /// The key of a set that is described by the fields of `set`: the method and every parameter on
    /// which its masks depend besides the image.
    pub(super) fn new(set: &(impl Hash + ?Sized)) -> Self {
        Self(sha256(set))
    }
}

/// The cached scores of one image seen through one mask.
#[derive(Clone, Copy)]
pub(super) struct CachedMask<'a> {
    cache: &'a Cache,
    key: KeyHash,
}

impl CachedMask<'_> {
    /// Scores and probabilities, `[2, classes]`, if they are cached.
    pub(super) fn scores(self) -> Option<Arc<Array2<f32>>> {
        let found = match self.cache.store().get(&self.key) {
            Some(Value::Masked(scores)) => Some(scores),
            _ => None,
        };
        self.cache.shared.masked.count(found.is_some());
        found
    }

    /// Stores scores and probabilities.
    pub(super) fn store(self, scores: ArrayView1<'_, f32>, probabilities: ArrayView1<'_, f32>) {
        let mut rows = Array2::zeros((2, scores.len()));
        rows.index_axis_mut(Axis(0), 0).assign(&scores);
        rows.index_axis_mut(Axis(0), 1).assign(&probabilities);
        self.cache.insert(self.key, Value::Masked(Arc::new(rows)));
    }
}

/// The classes that a pass differentiates: the predicted one if it names none.
fn classes(pass: &PassRequest, scores: ArrayView2<'_, f32>) -> Vec<usize> {
    if pass.gradient_of == GradientOf::None {
        return Vec::new();
    }
    if !pass.targets.is_empty() {
        return pass.targets.clone();
    }
    vec![predicted(scores.row(0))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_zero_switches_the_cache_off() {
        let input = Array4::zeros((1, 3, 2, 2));
        assert!(Cache::new(1 << 20).image("a", "b", &input).is_some());
        assert!(Cache::new(0).image("a", "b", &input).is_none());
    }
}
