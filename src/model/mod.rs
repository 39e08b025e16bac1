//! What a model folder says: manifest, labels, preprocessing.
