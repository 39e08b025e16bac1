//! The gradient of a classifier's best score with respect to its input, computed by ONNX Runtime.
//!
//! ```text
//! ORT_DYLIB_PATH=libonnxruntime.so cargo run --example differentiate -- MODEL.onnx
//! ```
//!
//! The first input must be a float tensor and the first output the scores `[N, classes]`. Sizes
//! that the model leaves open are 1 for the batch and 224 for others.
#![expect(clippy::print_stdout, reason = "the result is the program's output")]

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use onnx_gradient::prost::Message;
use onnx_gradient::proto::{ModelProto, ValueInfoProto};
use onnx_gradient::{
    Differentiate, GradOutput, differentiate, gradient_name, prepare, shape_probe,
};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The input that gives the gradient of the scores: one-hot for the class of interest.
const DIRECTION: &str = "direction";

fn main() -> Fallible<()> {
    let path = std::env::args_os().nth(1).ok_or("usage: differentiate MODEL.onnx")?;
    let path = PathBuf::from(path);
    let runtime = Runtime { environment: load_runtime()?, folder: parent(&path) };
    let model = prepare(&ModelProto::decode(std::fs::read(&path)?.as_slice())?)?;

    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let weights: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    let input = graph.input.iter().find(|input| !weights.contains(&input.name()));
    let input = input.ok_or("the model has no input")?;
    let scores = graph.output.first().ok_or("the model has no output")?.name();
    let shape = input_shape(input)?;
    let image = noise(&shape);

    // One run measures the shapes of all tensors.
    let probe = shape_probe(&model, input.name());
    let mut session = runtime.session(&probe.model)?;
    let image_tensor = || Tensor::from_array((shape.clone(), image.clone())).map(Tensor::upcast);
    let outputs = session.run(vec![(input.name().to_owned(), image_tensor()?)])?;
    let mut integers = HashMap::new();
    for (name, value) in &outputs {
        if let Ok((_, values)) = value.try_extract_tensor::<i64>() {
            integers.insert(name.to_owned(), values.to_vec());
        }
    }
    let facts = probe.facts(integers);
    let values = outputs[scores].try_extract_tensor::<f32>()?.1;
    let best = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]));
    let best = best.ok_or("the model has no scores")?;
    println!("best class: {best}, score {}", values[best]);

    // The direction is an input: one model gives the gradient of every class.
    let request = Differentiate {
        of: scores,
        with_respect_to: &[input.name()],
        grad_output: GradOutput::Input(DIRECTION),
    };
    let with_gradient = differentiate(&model, &facts, &request)?;
    let mut direction = vec![0.0_f32; values.len()];
    direction[best] = 1.0;
    let scores_shape = facts.get(scores).ok_or("the scores have no shape")?.to_vec();
    let direction = Tensor::from_array((scores_shape, direction))?.upcast();
    let mut session = runtime.session(&with_gradient)?;
    let inputs = vec![(input.name().to_owned(), image_tensor()?), (DIRECTION.into(), direction)];
    let outputs = session.run(inputs)?;
    let name = gradient_name(input.name());
    let (shape, gradient) = outputs[name.as_str()].try_extract_tensor::<f32>()?;

    let norm = gradient.iter().map(|value| value * value).sum::<f32>().sqrt();
    let largest = (0..gradient.len())
        .max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs()))
        .ok_or("the gradient is empty")?;
    println!("{name}: shape {shape:?}, L2 norm {norm:e}");
    println!("largest element: {:e}, at index {largest}", gradient[largest]);
    Ok(())
}

/// ONNX Runtime, and the folder of a model's external data.
struct Runtime {
    environment: Environment,
    folder: PathBuf,
}

impl Runtime {
    fn session(&self, model: &ModelProto) -> Fallible<Session> {
        let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
        let folder = self.folder.to_string_lossy();
        let mut builder = Session::builder(&self.environment)?
            .with_config_entry("session.model_external_initializers_file_folder_path", folder)
            .map_err(recover)?;
        Ok(builder.commit_from_memory(&model.encode_to_vec())?)
    }
}

fn load_runtime() -> Fallible<Environment> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime/libonnxruntime.so");
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or(repository, PathBuf::from);
    if !library.is_file() {
        return Err("set ORT_DYLIB_PATH to the path of libonnxruntime, 1.24 or later".into());
    }
    Ok(ort::init_from(&library)?.with_telemetry(false).build()?)
}

fn parent(path: &Path) -> PathBuf {
    path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned())).unwrap_or_default()
}

fn input_shape(input: &ValueInfoProto) -> Fallible<Vec<i64>> {
    let (_, sizes) = input.tensor().ok_or("the first input is not a tensor")?;
    let open = |axis: usize| if axis == 0 { 1 } else { 224 };
    Ok(sizes.iter().enumerate().map(|(axis, size)| size.unwrap_or(open(axis))).collect())
}

/// Values between −1 and 1, the same in every run.
fn noise(shape: &[i64]) -> Vec<f32> {
    let count = shape.iter().product::<i64>();
    (0..count).map(|index| (index as f32 * 12.9898).sin()).collect()
}
