//! ONNX Runtime, which the tests run models with.
//!
//! The library is `ORT_DYLIB_PATH`, or `runtime/libonnxruntime.so` of the repository.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use onnx_gradient::prost::Message;
use onnx_gradient::proto::ModelProto;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

/// An output of a run.
#[derive(Debug)]
pub(crate) enum Output {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let path = library();
        assert!(
            path.is_file(),
            "{} is missing: these tests need ONNX Runtime 1.24 or later; set ORT_DYLIB_PATH to \
             the path of libonnxruntime",
            path.display()
        );
        let builder = ort::init_from(&path)
            .unwrap_or_else(|error| panic!("{} cannot be loaded: {error}", path.display()));
        let environment = builder.with_telemetry(false).build().expect("an environment");
        environment.set_log_level(LogLevel::Error);
        environment
    })
}

fn library() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime/libonnxruntime.so");
    std::env::var_os("ORT_DYLIB_PATH").map_or(repository, PathBuf::from)
}

/// A session of a model. Panics when ONNX Runtime rejects the model.
pub(crate) fn session(model: &ModelProto) -> Session {
    let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
    let build = || {
        Session::builder(environment())?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(recover)?
            .with_intra_threads(1)
            .map_err(recover)?
            // ONNX Runtime 1.32 aborts while it fuses quantised operators whose integers the
            // backward pass reads, too.
            .with_config_entry("session.disable_quant_qdq", "1")
            .map_err(recover)?
            // It moves the channels of integer convolutions last, and does not move them back for
            // other readers.
            .with_config_entry("optimization.disable_specified_optimizers", "NhwcTransformer")
            .map_err(recover)?
            .commit_from_memory(&model.encode_to_vec())
    };
    build().unwrap_or_else(|error| panic!("ONNX Runtime rejects the model: {error}"))
}

/// Runs a session on a batch `[N, 3, H, W]` and returns its int64 and float32 outputs.
pub(crate) fn run(
    session: &mut Session,
    batch: &[f32],
    [height, width]: [usize; 2],
) -> ort::Result<HashMap<String, Output>> {
    let shape = [batch.len() / (3 * height * width), 3, height, width];
    run_with(session, &[("x", &shape, batch)])
}

/// Runs a session on inputs with a name, a shape and elements.
pub(crate) fn run_with(
    session: &mut Session,
    inputs: &[(&str, &[usize], &[f32])],
) -> ort::Result<HashMap<String, Output>> {
    let names: Vec<String> =
        session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let tensor = |&(name, shape, elements): &(&str, &[usize], &[f32])| {
        let tensor = Tensor::from_array((shape.to_vec(), elements.to_vec()))?;
        Ok((name.to_owned(), tensor.into()))
    };
    let inputs =
        inputs.iter().map(tensor).collect::<ort::Result<Vec<(_, SessionInputValue<'_>)>>>();
    let outputs = session.run(inputs?)?;
    let output = |name: &String| {
        let value = outputs.get(name)?;
        let output = match value.try_extract_tensor::<i64>() {
            Ok((_, values)) => Output::Integers(values.to_vec()),
            Err(_) => Output::Floats(value.try_extract_tensor::<f32>().ok()?.1.to_vec()),
        };
        Some((name.clone(), output))
    };
    Ok(names.iter().filter_map(output).collect())
}
