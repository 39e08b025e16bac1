//! Outcomes that are known already, for who asks the same again.
//!
//! What a model says depends on the model, the layer whose program runs, and the tensor that goes
//! in, and on nothing else. So an outcome is kept under the SHA-256 of those: equal bytes in, the
//! same bytes out. Who asks for another class, another convention or other colours finds the passes
//! that both have in common, by whatever way it came to them. What is kept takes no more than the
//! limit; what was used longest ago goes first. A limit of 0 keeps nothing and costs nothing.

mod kept;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, Array4, ArrayView1, ArrayView2, Axis};
use sha2::{Digest, Sha256};

use self::kept::{Forward, Key, LruStore, Value};
use super::session::{PassOutput, PassRequest, predicted};
use crate::graph::explain_graph::GradientOf;

/// Known outcomes of all models. Clones share them.
#[derive(Clone)]
pub struct Cache {
    limit_bytes: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<LruStore>,
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

/// How the cache does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Passes of images that were known, and that were not.
    pub forward: (u64, u64),
    /// Passes of masked images that were known, and that were not.
    pub masked: (u64, u64),
    /// What is kept.
    pub bytes: usize,
}

/// One image as one model's program for one layer sees it.
pub(super) struct Image<'a> {
    cache: &'a Cache,
    key: Key,
}

impl Cache {
    /// An empty cache of at most so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, shared: Arc::default() }
    }

    /// How it does.
    #[must_use]
    pub fn usage(&self) -> CacheUse {
        let Shared { forward, masked, .. } = &*self.shared;
        CacheUse { forward: forward.read(), masked: masked.read(), bytes: self.kept().bytes }
    }

    /// What is known of one image, `[1, …]`; `None` for a cache that keeps nothing.
    pub(super) fn image(&self, model: &str, layer: &str, input: &Array4<f32>) -> Option<Image<'_>> {
        if self.limit_bytes == 0 || input.shape()[0] != 1 {
            return None;
        }
        let mut hash = Sha256::new();
        for name in [model, layer] {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
        }
        for length in input.shape() {
            hash.update((*length as u64).to_le_bytes());
        }
        feed(&mut hash, input.iter());
        Some(Image { cache: self, key: hash.finalize().into() })
    }

    fn kept(&self) -> MutexGuard<'_, LruStore> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Key, value: Value) {
        self.kept().insert(key, value, self.limit_bytes);
    }
}

impl<'a> Image<'a> {
    /// The outcome of a pass, if all of it is known.
    pub(super) fn outcome(&self, pass: &PassRequest) -> Option<PassOutput> {
        let found = self.find(pass);
        self.cache.shared.forward.count(found.is_some());
        found
    }

    fn find(&self, pass: &PassRequest) -> Option<PassOutput> {
        // Two short looks: nobody waits for the lock while arrays are copied.
        let Some(Value::Forward(known)) = self.cache.kept().get(&self.key) else { return None };
        let Forward { scores, probabilities, activation } = &*known;
        let mut gradients = Vec::new();
        for class in classes(pass, scores.view()) {
            let key = self.gradient_key(pass, class);
            let Some(Value::Gradient(gradient)) = self.cache.kept().get(&key) else { return None };
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
        })
    }

    /// Keeps the outcome of a pass.
    pub(super) fn keep(&self, pass: &PassRequest, outcome: &PassOutput) {
        // A pass that asked for less must not take away what is known.
        if outcome.activation.is_some()
            || !matches!(self.cache.kept().get(&self.key), Some(Value::Forward(_)))
        {
            let PassOutput { scores, probabilities, activation, .. } = outcome.clone();
            self.cache.keep(
                self.key,
                Value::Forward(Arc::new(Forward { scores, probabilities, activation })),
            );
        }
        for (class, gradient) in
            classes(pass, outcome.scores.view()).into_iter().zip(&outcome.gradients)
        {
            let key = self.gradient_key(pass, class);
            self.cache.keep(key, Value::Gradient(Arc::new(gradient.clone())));
        }
    }

    fn gradient_key(&self, pass: &PassRequest, class: usize) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update((pass.gradient_of as i64).to_le_bytes());
        hash.update((class as u64).to_le_bytes());
        hash.update(pass.contrast.map_or(-1, |class| class as i64).to_le_bytes());
        hash.finalize().into()
    }

    /// The image in front of another one, which shows where a mask is 0.
    pub(super) fn before(&self, backdrop: &Array4<f32>) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update("in front of");
        feed(&mut hash, backdrop.iter());
        Self { cache: self.cache, key: hash.finalize().into() }
    }

    /// The image seen through a mask `[H, W]`.
    pub(super) fn masked(&self, mask: ArrayView2<'_, f32>) -> Masked<'a> {
        let mut hash = Sha256::new();
        hash.update(self.key);
        feed(&mut hash, mask.iter());
        Masked { cache: self.cache, key: hash.finalize().into() }
    }

    /// The image seen through each mask of a set, if that is known.
    pub(super) fn set(&self, name: &str) -> Option<Vec<Masked<'a>>> {
        let Some(Value::Set(keys)) = self.cache.kept().get(&self.set_key(name)) else {
            return None;
        };
        Some(keys.iter().map(|&key| Masked { cache: self.cache, key }).collect())
    }

    /// Keeps which masks a set has.
    pub(super) fn keep_set(&self, name: &str, masks: &[Masked<'_>]) {
        let keys = masks.iter().map(|mask| mask.key).collect();
        self.cache.keep(self.set_key(name), Value::Set(keys));
    }

    fn set_key(&self, name: &str) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update("a set of masks");
        hash.update(name);
        hash.finalize().into()
    }
}

/// One image seen through one mask.
#[derive(Clone, Copy)]
pub(super) struct Masked<'a> {
    cache: &'a Cache,
    key: Key,
}

impl Masked<'_> {
    /// Scores and probabilities, `[2, classes]`, if they are known.
    pub(super) fn answer(self) -> Option<Arc<Array2<f32>>> {
        let found = match self.cache.kept().get(&self.key) {
            Some(Value::Masked(row)) => Some(row),
            _ => None,
        };
        self.cache.shared.masked.count(found.is_some());
        found
    }

    /// Keeps an answer.
    pub(super) fn keep(self, scores: ArrayView1<'_, f32>, probabilities: ArrayView1<'_, f32>) {
        let mut row = Array2::zeros((2, scores.len()));
        row.index_axis_mut(Axis(0), 0).assign(&scores);
        row.index_axis_mut(Axis(0), 1).assign(&probabilities);
        self.cache.keep(self.key, Value::Masked(Arc::new(row)));
    }
}

/// The classes that a pass differentiates: the predicted one, when it names none.
fn classes(pass: &PassRequest, scores: ArrayView2<'_, f32>) -> Vec<usize> {
    if pass.gradient_of == GradientOf::Nothing {
        return Vec::new();
    }
    if !pass.targets.is_empty() {
        return pass.targets.clone();
    }
    vec![predicted(scores.row(0))]
}

/// Adds numbers to a hash, some thousand at a time: one by one would take longer than the hash.
fn feed<'a>(hash: &mut Sha256, numbers: impl Iterator<Item = &'a f32>) {
    let mut bytes = Vec::with_capacity(1 << 14);
    for number in numbers {
        bytes.extend_from_slice(&number.to_ne_bytes());
        if bytes.len() == 1 << 14 {
            hash.update(&bytes);
            bytes.clear();
        }
    }
    hash.update(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_layer_and_every_number_count() {
        let cache = Cache::new(1 << 20);
        let input = Array4::zeros((1, 3, 2, 2));
        let key = |model, layer, input: &Array4<f32>| cache.image(model, layer, input).unwrap().key;
        let mut other = input.clone();
        other[[0, 2, 1, 1]] = 1e-30;
        let keys = [
            key("a", "b", &input),
            key("ab", "", &input),
            key("a", "c", &input),
            key("a", "b", &other),
            key("a", "b", &Array4::zeros((1, 2, 3, 2))),
        ];
        let distinct: std::collections::HashSet<Key> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(keys[0], key("a", "b", &input.clone()));
        assert!(Cache::new(0).image("a", "b", &input).is_none());
    }
}
