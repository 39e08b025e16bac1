//! The one ONNX Runtime of the process: found, loaded, given its threads.
//!
//! A session's threads spin between the operators of a pass, which takes a third
//! off a pass of many small ones, and sleep as soon as it ends: a pool that spins on
//! would take the cores from the image work of the next request. ONNX Runtime stops
//! the spinning of a session's own pool only, so there is one for each session; all
//! but those of the models that work are asleep.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::Settings;
use super::optimize::nchwc;
use super::optimize::operators::Operators;
use crate::error::{Error, Kind, Result};

/// The shared library's name.
const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else if cfg!(windows) {
    "onnxruntime.dll"
} else {
    "libonnxruntime.so"
};

/// The loaded runtime; clones share it.
#[derive(Clone)]
pub(super) struct Runtime {
    environment: Environment,
    threads: usize,
    block: Option<usize>,
}

impl Runtime {
    /// Loads the runtime, or returns the one that this process has loaded.
    pub(super) fn load(settings: &Settings) -> Result<Self> {
        static LOADED: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| Self::init(settings).map_err(|error| error.to_string()));
        match loaded {
            Ok(runtime) => Ok(runtime.clone()),
            Err(what) => Err(Error::new(Kind::Setup, what.clone())),
        }
    }

    fn init(settings: &Settings) -> Result<Self> {
        let path = find(settings.runtime.as_deref())?;
        let setup = |what: String| {
            Error::new(Kind::Setup, format!("ONNX Runtime at {}: {what}", path.display()))
        };
        let builder = ort::init_from(&path).map_err(|error| setup(error.to_string()))?;
        let threads = settings.threads.unwrap_or_else(available_threads);
        let environment = builder
            .with_name("camlens")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| setup(error.to_string()))?;
        environment.set_log_level(LogLevel::Error);
        let loaded = Self { environment, threads, block: None };
        Ok(Self { block: nchwc::detect_block(&loaded), ..loaded })
    }

    /// How many channels its convolutions keep together in a block, where they do and camlens's
    /// operators can.
    pub(super) fn block(&self) -> Option<usize> {
        self.block
    }

    /// How many threads compute.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Makes a session of an encoded model whose weights lie in files in `folder`.
    ///
    /// `in_integers` says whether some of it is computed in integers. Pre-packing, which copies
    /// weights into the order in which kernels read them, is off for floats: it would be a copy
    /// of every weight for every session, and no faster; without it the weights are the mapped
    /// pages of the model file. Kernels of integers take up to four times as long without it.
    /// `operators` are those of camlens that the model may contain.
    pub(super) fn session(
        &self,
        model: &[u8],
        folder: &Path,
        optimise: bool,
        in_integers: bool,
        operators: Option<&Operators>,
    ) -> ort::Result<Session> {
        let level =
            if optimise { GraphOptimizationLevel::All } else { GraphOptimizationLevel::Disable };
        let folder = folder.to_string_lossy();
        let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
        let mut builder = Session::builder(&self.environment)?;
        if let Some(operators) = operators {
            builder = builder.with_operators(operators.domain()?).map_err(recover)?;
        }
        if in_integers {
            // It gives convolutions of integers their channels last, and loses the turn back where
            // a backward pass reads beside a convolution of floats (ONNX Runtime 1.32).
            let entry = ("optimization.disable_specified_optimizers", "NhwcTransformer");
            builder = builder.with_config_entry(entry.0, entry.1).map_err(recover)?;
        }
        builder
            .with_optimization_level(level)
            .map_err(recover)?
            .with_prepacking(in_integers)
            .map_err(recover)?
            .with_intra_threads(self.threads)
            .map_err(recover)?
            .with_config_entry("session.force_spinning_stop", "1")
            .map_err(recover)?
            // Fusing what reads integers, ONNX Runtime 1.32 aborts where the backward pass reads
            // it, too.
            .with_config_entry("session.disable_quant_qdq", "1")
            .map_err(recover)?
            .with_config_entry("session.model_external_initializers_file_folder_path", folder)
            .map_err(recover)?
            .commit_from_memory(model)
    }
}

/// What ONNX Runtime has to say becomes a line of the log like any other. Its errors come back to
/// whoever asked for the pass as well, and some passes are run to see whether they fail: by itself
/// none is anybody's concern.
fn log(_level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    tracing::debug!(place, "ONNX Runtime: {}", message.trim_end());
}

/// As many threads as the cgroup and the affinity mask allow.
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// By configuration, then beside the binary, then in the set-up's folder.
fn find(configured: Option<&Path>) -> Result<PathBuf> {
    let missing = |what: String| Error::new(Kind::Setup, what);
    if let Some(path) = configured {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(missing(format!("engine.runtime: there is no file {}", path.display())))
        };
    }
    let beside =
        std::env::current_exe().ok().and_then(|binary| Some(binary.parent()?.join(LIBRARY)));
    let fetched = Path::new("runtime").join(LIBRARY);
    beside.into_iter().chain([fetched]).find(|path| path.is_file()).ok_or_else(|| {
        missing(format!(
            "ONNX Runtime is missing: `make setup` fetches it to runtime/{LIBRARY}; elsewhere, name it in engine.runtime (CAMLENS_RUNTIME)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_library_that_is_not_there_is_named() {
        let error = find(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine.runtime: there is no file /nowhere/libonnxruntime.so"
        );
    }
}
