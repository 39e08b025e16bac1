//! What whoever runs the service can set about the engine.

use std::path::PathBuf;

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ONNX Runtime's shared library; looked for beside the binary and in `runtime/` when absent.
    pub runtime: Option<PathBuf>,
    /// Threads that compute; as many as the cgroup allows when absent.
    pub threads: Option<usize>,
    /// Masked images in one pass.
    pub batch: usize,
    /// Let camlens's own kernels compute what they compute faster than the runtime.
    pub fast_kernels: bool,
    /// Let them leave out what an image's zeros give anyway.
    pub skip_zeros: bool,
    /// Sessions for other layers than the default that a model keeps ready.
    pub layer_sessions: usize,
    /// Outcomes that are kept for who asks the same again, of all models together; 0 keeps none.
    pub cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: None,
            threads: None,
            batch: 8,
            fast_kernels: true,
            skip_zeros: true,
            layer_sessions: 2,
            cache_bytes: 0,
        }
    }
}
