//! Names and facts of tensors in the NCHWc layout.

use std::collections::{HashMap, HashSet};

use onnx_gradient::proto::NodeProto;

/// Attribute of a custom operator: the block size of its feature maps; absent or 0 for NCHW.
pub(crate) const BLOCK_ATTRIBUTE: &str = "nchwc_block";

/// The domain of the runtime's NCHWc operators.
pub(crate) const NCHWC_DOMAIN: &str = "com.microsoft.nchwc";

/// A tensor in the NCHWc layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeatureMaps {
    /// Channels, without the padding of the last block.
    pub(crate) channels: i64,
    pub(crate) size: SpatialSize,
}

/// Height and width of feature maps. Equal values mean equal sizes; unequal values may stand for
/// equal sizes, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpatialSize {
    /// As the backward pass's own reshapes state it.
    Known([i64; 2]),
    /// As large as this tensor.
    Like(String),
}

/// The tensors that have been written and that the current graph can read.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// Tensors in NCHWc, by their original names.
    pub(super) feature_maps: HashMap<String, FeatureMaps>,
    /// Tensors that exist in NCHW as well.
    pub(super) in_nchw: HashSet<String>,
    /// Filters and biases that have been reordered.
    pub(super) reordered: HashSet<String>,
}

/// Prefix of the names of tensors in NCHWc. The original name follows.
pub(super) const PREFIX: &str = "camlens/nchwc/";

/// The name of a tensor in NCHWc.
pub(crate) fn nchwc_name(tensor: &str) -> String {
    format!("{PREFIX}{tensor}")
}

/// A node of the runtime's NCHWc domain.
pub(crate) fn runtime_node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    // The name is made unique, because another node may be named after its output.
    let name = Some(format!("{output}/{op}"));
    NodeProto { domain: Some(NCHWC_DOMAIN.into()), name, ..NodeProto::new(op, inputs, &[output]) }
}
