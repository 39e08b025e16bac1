//! The engine's settings.

use std::path::PathBuf;

use crate::model::held_file::WeightStorage;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ONNX Runtime's shared library. When absent, it is searched for next to the binary and in
    /// `runtime/`.
    pub runtime: Option<PathBuf>,
    /// Compute threads; as many as the cgroup allows when absent.
    pub threads: Option<usize>,
    /// Where the weights of models are.
    pub weights: WeightStorage,
    /// Masked images per pass.
    pub batch: usize,
    /// Whether custom operators replace those of the runtime where they are faster.
    pub fast_kernels: bool,
    /// Whether custom operators skip regions of zeros in their input.
    pub skip_zeros: bool,
    /// Open sessions of a model besides the default layer's.
    pub layer_sessions: usize,
    /// Size limit in bytes of the result cache, which all models share; 0 switches it off.
    pub cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: None,
            threads: None,
            weights: WeightStorage::Map,
            batch: 8,
            fast_kernels: true,
            skip_zeros: true,
            layer_sessions: 2,
            cache_bytes: 0,
        }
    }
}
