//! The operations that a client can request.

use std::fmt;

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

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explain => "explain",
            Self::Compare => "compare",
            Self::Predict => "predict",
        })
    }
}

/// Every operation.
pub const ALL: &[Operation] = &[Operation::Explain, Operation::Compare, Operation::Predict];

/// The operations that return maps.
pub const MAPS: &[Operation] = &[Operation::Explain, Operation::Compare];
