//! ONNX Runtime: finding and loading the library, and opening sessions.
//!
//! The threads of a session spin between the operators of a pass, which makes a pass of many small
//! operators a third faster, and sleep as soon as the pass ends: if they went on spinning, they
//! would take the cores from the image work of the next request. ONNX Runtime can only stop the
//! spinning of a session's own thread pool, so each session has one. The pools of idle models
//! sleep.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::Settings;
use super::optimize::nchwc;
use super::optimize::operators::Operators;
use super::weights::HeldSession;
use crate::error::{Error, Kind, Result};
use crate::model::onnx_file::EncodedModel;

/// The file name of the shared library.
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
    nchwc_block: Option<usize>,
}

/// Tells ONNX Runtime to send no telemetry. Since 1.32 the library reports the processor, the path of
/// the program and more to its maker, and keeps a database in the home folder, unless this variable
/// is set before it is loaded. A value that the variable has stays.
///
/// # Safety
/// As [`std::env::set_var`]: no other thread may read or write the environment meanwhile.
pub unsafe fn keep_runtime_silent() {
    const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

impl Runtime {
    /// Loads the runtime, or returns the one that this process has already loaded.
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
        let loaded = Self { environment, threads, nchwc_block: None };
        let open = |bytes: Vec<u8>| {
            let model = EncodedModel { bytes, weights: Vec::new() };
            loaded.session(&model, false, false, None)
        };
        Ok(Self { nchwc_block: nchwc::detect_block(open), ..loaded })
    }

    /// The block size of the NCHWc layout of the runtime's convolutions on this processor, if they
    /// use it and the custom operators support that size.
    pub(super) fn nchwc_block(&self) -> Option<usize> {
        self.nchwc_block
    }

    /// The environment, for sessions of other options.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The number of compute threads.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// The same runtime for sessions of so many threads.
    pub(super) fn with_threads(&self, threads: usize) -> Self {
        Self { threads, ..self.clone() }
    }

    /// Opens a session of an encoded model.
    ///
    /// `has_integer_operators` switches pre-packing on, which copies weights into the order in
    /// which kernels read them. For float kernels it is off: it would copy every weight for every
    /// session and be no faster, and without it the weights stay where the model holds them.
    /// Integer kernels take up to four times as long without it. `operators` are the custom
    /// operators that the model may contain.
    pub(super) fn session(
        &self,
        model: &EncodedModel,
        optimise: bool,
        has_integer_operators: bool,
        operators: Option<&Operators>,
    ) -> ort::Result<HeldSession> {
        let level =
            if optimise { GraphOptimizationLevel::All } else { GraphOptimizationLevel::Disable };
        let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
        let mut builder = Session::builder(&self.environment)?;
        if let Some(operators) = operators {
            builder = builder.with_operators(operators.domain()?).map_err(recover)?;
        }
        if has_integer_operators {
            // This optimizer moves integer convolutions to NHWC, and loses the transpose back to
            // NCHW where the backward pass reads the tensor along with a float convolution (ONNX
            // Runtime 1.32).
            let entry = ("optimization.disable_specified_optimizers", "NhwcTransformer");
            builder = builder.with_config_entry(entry.0, entry.1).map_err(recover)?;
        }
        let builder = builder
            .with_optimization_level(level)
            .map_err(recover)?
            .with_prepacking(has_integer_operators)
            .map_err(recover)?
            .with_intra_threads(self.threads)
            .map_err(recover)?
            .with_config_entry("session.force_spinning_stop", "1")
            .map_err(recover)?
            // ONNX Runtime 1.32 aborts when it fuses QDQ groups of which the backward pass reads a
            // tensor.
            .with_config_entry("session.disable_quant_qdq", "1")
            .map_err(recover)?;
        HeldSession::open(builder, &model.bytes, &model.weights)
    }
}

/// Writes ONNX Runtime's messages to the log at debug level: its errors are also returned to the
/// caller, and some passes run only to find out whether they fail.
fn log(_level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    tracing::debug!(location, "ONNX Runtime: {}", message.trim_end());
}

/// The number of threads that the cgroup and the affinity mask allow.
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The configured library, or else one next to the binary, or else the one that `make setup`
/// fetches, or else the one of `make install`.
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
    let installed = crate::installation::library_folder().map(|folder| folder.join(LIBRARY));
    let mut places = beside.into_iter().chain([fetched]).chain(installed);
    let found = places.find(|path| path.is_file());
    found.or_else(crate::installation::library_of_python).ok_or_else(|| {
        missing(format!(
            "ONNX Runtime is missing: `make setup` fetches it to runtime/{LIBRARY}, and `pip \
             install onnxruntime` beside the command; set engine.runtime (CAMLENS_RUNTIME) if it \
             is elsewhere"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_configured_library_is_named() {
        let error = find(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine.runtime: there is no file /nowhere/libonnxruntime.so"
        );
    }
}
