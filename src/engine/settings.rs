//! The engine's settings.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::held_file::WeightStorage;

/// Which models are loaded in a child process first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialPolicy {
    /// Those whose manifest states no SHA-256.
    #[default]
    Unpinned,
    /// All.
    Always,
    /// None.
    Never,
}

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
    /// Which models a registry loads in a child process first.
    pub trial: TrialPolicy,
    /// The binary of that process; when absent, that of this process.
    pub trial_program: Option<PathBuf>,
    /// How long such a process may take.
    pub trial_timeout: Duration,
    /// Masked images per pass.
    pub batch: usize,
    /// Whether custom operators replace those of the runtime where they are faster.
    pub fast_kernels: bool,
    /// Whether custom operators skip regions of zeros in their input.
    pub skip_zeros: bool,
    /// How many passes may run at once, whatever their models.
    pub parallel: usize,
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
            trial: TrialPolicy::Never,
            trial_program: None,
            trial_timeout: Duration::from_secs(120),
            batch: 8,
            parallel: 1,
            fast_kernels: true,
            skip_zeros: true,
            layer_sessions: 2,
            cache_bytes: 0,
        }
    }
}
