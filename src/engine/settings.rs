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

/// By default, as many as there are workers for short requests. Each takes memory and time to load.
const MAX_SIDE_BY_SIDE: usize = 4;

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
    /// How many passes may run at once with all threads, whatever their models.
    pub parallel: usize,
    /// How many passes of small models may run at once, each with its part of the threads; when
    /// absent, one for each thread, at most 4. 1 for none.
    pub side_by_side: Option<usize>,
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
            side_by_side: Some(1),
            fast_kernels: true,
            skip_zeros: true,
            layer_sessions: 2,
            cache_bytes: 0,
        }
    }
}

impl Settings {
    /// How many passes of small models may run at once, and how many of `threads` threads each has.
    /// One pass alone is no part.
    pub(super) fn parts(&self, threads: usize) -> Parts {
        let most = self.side_by_side.unwrap_or(MAX_SIDE_BY_SIDE).min(threads);
        let count = if most < 2 { 0 } else { most };
        Parts { count, threads: threads / most.max(1) }
    }
}

/// The parts into which the threads are divided for passes side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// 0 when passes don't run side by side.
    pub(super) count: usize,
    /// Threads of each part.
    pub(super) threads: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_are_divided_into_equal_parts() {
        for (side_by_side, threads, count, each) in [
            (None, 1, 0, 1),
            (None, 2, 2, 1),
            (None, 3, 3, 1),
            (None, 18, 4, 4),
            (Some(1), 8, 0, 8),
            (Some(3), 8, 3, 2),
            (Some(64), 4, 4, 1),
        ] {
            let settings = Settings { side_by_side, ..Settings::default() };
            assert_eq!(settings.parts(threads), Parts { count, threads: each }, "{threads}");
        }
    }
}
