//! Values within a limit of memory: what was used longest ago makes room for what is new.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ndarray::{Array2, Array4};

/// What an entry costs besides its numbers: its place in two maps.
const ENTRY_BYTES: usize = 192;

/// What a value is found by: a hash of what was asked.
pub(super) type Key = [u8; 32];

/// Something that is known of an image under a model.
#[derive(Clone)]
pub(super) enum Value {
    /// A pass of the image itself.
    Forward(Arc<Forward>),
    /// The gradient of one class's score.
    Gradient(Arc<Array4<f32>>),
    /// Scores and probabilities of the image seen through one mask, `[2, classes]`.
    Masked(Arc<Array2<f32>>),
    /// The masks of a whole set: who asks for it again need not make them.
    Set(Arc<[Key]>),
}

/// What a forward pass gave.
pub(super) struct Forward {
    /// `[1, classes]`.
    pub(super) scores: Array2<f32>,
    /// `[1, classes]`.
    pub(super) probabilities: Array2<f32>,
    /// If it was asked for.
    pub(super) activation: Option<Array4<f32>>,
}

impl Value {
    fn bytes(&self) -> usize {
        let bytes = match self {
            Self::Set(keys) => size_of_val(&**keys),
            _ => self.numbers() * size_of::<f32>(),
        };
        ENTRY_BYTES + bytes
    }

    fn numbers(&self) -> usize {
        match self {
            Self::Forward(known) => {
                let Forward { scores, probabilities, activation } = &**known;
                scores.len() + probabilities.len() + activation.as_ref().map_or(0, Array4::len)
            }
            Self::Gradient(gradient) => gradient.len(),
            Self::Masked(row) => row.len(),
            Self::Set(_) => 0,
        }
    }
}

/// Values by key, and keys by age.
#[derive(Default)]
pub(super) struct LruStore {
    values: HashMap<Key, (Value, u64)>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
    /// What all of them cost.
    pub(super) bytes: usize,
}

impl LruStore {
    /// The value of a key, which counts as used now.
    pub(super) fn get(&mut self, key: &Key) -> Option<Value> {
        let (value, used) = self.values.get_mut(key)?;
        self.by_age.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.by_age.insert(self.clock, *key);
        Some(value.clone())
    }

    /// Keeps a value, in the place of those used longest ago where there is no room.
    pub(super) fn insert(&mut self, key: Key, value: Value, limit_bytes: usize) {
        self.remove(&key);
        if value.bytes() > limit_bytes {
            return;
        }
        self.clock += 1;
        self.bytes += value.bytes();
        self.values.insert(key, (value, self.clock));
        self.by_age.insert(self.clock, key);
        while self.bytes > limit_bytes {
            let Some((_, oldest)) = self.by_age.first_key_value() else { return };
            let oldest = *oldest;
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((value, used)) = self.values.remove(key) {
            self.by_age.remove(&used);
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
    fn what_was_used_longest_ago_goes_first_and_the_limit_holds() {
        let mut kept = LruStore::default();
        let limit = 3 * row(100).bytes();
        for key in 0..3 {
            kept.insert([key; 32], row(100), limit);
        }
        assert!(kept.get(&[0; 32]).is_some());
        kept.insert([3; 32], row(100), limit);
        let found = |kept: &mut LruStore, key: u8| kept.values.contains_key(&[key; 32]);
        assert_eq!([0, 1, 2, 3].map(|key| found(&mut kept, key)), [true, false, true, true]);
        kept.insert([4; 32], row(300), limit);
        assert!(kept.bytes <= limit && found(&mut kept, 4));
        kept.insert([5; 32], row(100_000), limit);
        assert!(!found(&mut kept, 5) && found(&mut kept, 4));
        kept.insert([4; 32], row(100), limit);
        assert_eq!((kept.bytes, kept.by_age.len()), (row(100).bytes(), 1));
    }
}
