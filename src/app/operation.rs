//! What a client can ask for.

/// The operations of the service. Each accepts some of the [options](super::options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One method's map, or one map per class.
    Explain,
    /// Several methods' maps of one class.
    Compare,
    /// The most probable classes, without a map.
    Predict,
}

/// Every operation.
pub const ALL: &[Operation] = &[Operation::Explain, Operation::Compare, Operation::Predict];

/// The operations that return maps.
pub const MAPS: &[Operation] = &[Operation::Explain, Operation::Compare];
