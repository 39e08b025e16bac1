//! A store of bounded size that drops the least recently used values first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ndarray::{Array2, Array4};

use super::key::KeyHash;

/// Bytes per entry in addition to its arrays: its share of two maps.
const ENTRY_BYTES: usize = 192;

/// A cached result of one image.
#[derive(Clone)]
pub(super) enum Value {
    /// A pass of the image itself.
    Forward(Arc<Forward>),
    /// The gradient of one class's score.
    Gradient(Arc<Array4<f32>>),
    /// Scores and probabilities of the image seen through one mask, `[2, classes]`.
    Masked(Arc<Array2<f32>>),
    /// The keys of all masks of a set, so that they need not be computed again.
    MaskSet(Arc<[KeyHash]>),
}

/// The output of a forward pass.
pub(super) struct Forward {
    /// `[1, classes]`.
    pub(super) scores: Array2<f32>,
    /// `[1, classes]`.
    pub(super) probabilities: Array2<f32>,
    /// `[1, C, h, w]`, if it was requested.
    pub(super) activation: Option<Array4<f32>>,
    /// Of the pass that computed the activation.
    pub(super) doubtful_gates: Option<usize>,
}

impl Value {
    fn bytes(&self) -> usize {
        let bytes = match self {
            Self::MaskSet(keys) => size_of_val(&**keys),
            _ => self.value_count() * size_of::<f32>(),
        };
        ENTRY_BYTES + bytes
    }

    fn value_count(&self) -> usize {
        match self {
            Self::Forward(forward) => {
                let Forward { scores, probabilities, activation, .. } = &**forward;
                scores.len() + probabilities.len() + activation.as_ref().map_or(0, Array4::len)
            }
            Self::Gradient(gradient) => gradient.len(),
            Self::Masked(scores) => scores.len(),
            Self::MaskSet(_) => 0,
        }
    }
}

/// Values by key, and keys by the time of their last use.
#[derive(Default)]
pub(super) struct LruStore {
    values: HashMap<KeyHash, (Value, u64)>,
    by_last_use: BTreeMap<u64, KeyHash>,
    clock: u64,
    /// The size of all entries, in bytes.
    pub(super) bytes: usize,
}

impl LruStore {
    /// The value of a key; this counts as a use.
    pub(super) fn get(&mut self, key: &KeyHash) -> Option<Value> {
        let (value, used) = self.values.get_mut(key)?;
        self.by_last_use.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.by_last_use.insert(self.clock, *key);
        Some(value.clone())
    }

    /// Stores a value and drops the least recently used ones beyond the limit.
    pub(super) fn insert(&mut self, key: KeyHash, value: Value, limit_bytes: usize) {
        self.remove(&key);
        if value.bytes() > limit_bytes {
            return;
        }
        self.clock += 1;
        self.bytes += value.bytes();
        self.values.insert(key, (value, self.clock));
        self.by_last_use.insert(self.clock, key);
        while self.bytes > limit_bytes {
            let Some((_, oldest)) = self.by_last_use.first_key_value() else { return };
            let oldest = *oldest;
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &KeyHash) {
        if let Some((value, used)) = self.values.remove(key) {
            self.by_last_use.remove(&used);
            self.bytes -= value.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(length: usize) -> Value {
        Value::Masked(Arc::new(Array2::zeros((1, length))))
    }

    #[test]
    fn the_least_recently_used_value_is_dropped_first_and_the_limit_holds() {
        let mut store = LruStore::default();
        let limit = 3 * row(100).bytes();
        for key in 0..3 {
            store.insert([key; 32], row(100), limit);
        }
        assert!(store.get(&[0; 32]).is_some());
        store.insert([3; 32], row(100), limit);
        let found = |store: &mut LruStore, key: u8| store.values.contains_key(&[key; 32]);
        assert_eq!([0, 1, 2, 3].map(|key| found(&mut store, key)), [true, false, true, true]);
        store.insert([4; 32], row(300), limit);
        assert!(store.bytes <= limit && found(&mut store, 4));
        store.insert([5; 32], row(100_000), limit);
        assert!(!found(&mut store, 5) && found(&mut store, 4));
        store.insert([4; 32], row(100), limit);
        assert_eq!((store.bytes, store.by_last_use.len()), (row(100).bytes(), 1));
    }
}
