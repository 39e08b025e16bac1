//! Compares camlens's gradients with autograd's for a zoo of classifiers.
//!
//! `cargo run --release --example conformance -- FOLDER` reads every
//! `FOLDER/<architecture>/<exporter>/` that `zoo.py` and `keras_zoo.py` of `tools conformance`
//! made and prints two Markdown tables: the error of each layer's gradient, and the operators
//! that were differentiated. It fails if a layer has no gradient or a wrong one.
#![expect(clippy::print_stdout, reason = "the program prints tables")]

mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use camlens::engine::{CancellationToken, Model, ModelRegistry, PassRequest, Settings};
use camlens::graph::layers::{Layer, Layout, Tokens};
use camlens::graph::prepared::PreparedModel;
use camlens::graph::program_io::GradientOf;
use camlens::model::ModelFolder;
use camlens::model::onnx_file::OnnxFile;
use ndarray::{Array4, ArrayD, Axis, OwnedRepr, concatenate, s};
use ndarray_npy::NpzReader;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::vjp;
use shared::{Fallible, folders, name, worst};

/// Largest accepted difference, relative to the largest gradient.
const TOLERANCE: f32 = 1e-4;

/// Largest difference of gradients in 64 bits that counts as equal. The networks are the same,
/// except for constants such as √2, which files store in 32 bits.
const EXACT: f64 = 1e-6;

/// If this environment variable is set, the graph of each layer is written beside the model,
/// for `tools conformance.exact`.
const PROGRAMS: &str = "CONFORMANCE_PROGRAMS";

/// `layers.json`, which the scripts write beside the arrays.
#[derive(serde::Deserialize)]
struct Note {
    layers: Vec<NotedLayer>,
}

#[derive(serde::Deserialize)]
struct NotedLayer {
    module: String,
    tensor: String,
    /// The difference of the framework's own 32-bit gradient from its 64-bit one.
    #[serde(alias = "torch_error")]
    framework_error: f32,
}

fn main() -> Fallible<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let folder =
        PathBuf::from(arguments.next().ok_or("usage: conformance FOLDER [ARCHITECTURE ...]")?);
    let only: Vec<_> = arguments.collect();
    println!(
        "| architecture | exporter | layer | shape | error | error, camlens kernels \
          | framework's float32 error | float64 error | remarks |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let (mut operators, mut holes, mut proven, mut rows) = (Vec::new(), 0, 0, 0);
    for architecture in folders(&folder)? {
        if !only.is_empty() && !only.iter().any(|name| architecture.ends_with(name)) {
            continue;
        }
        for exporter in folders(&architecture)? {
            let title = format!("{} | {}", name(&architecture), name(&exporter));
            match one(&exporter, &title, &mut rows) {
                Ok(report) => {
                    holes += report.holes;
                    proven += report.proven;
                    operators.push((title, report.operators));
                }
                Err(error) => {
                    holes += 1;
                    rows += 1;
                    println!("| {title} | | | | | | | {error} |");
                }
            }
        }
    }
    println!(
        "\n| architecture | exporter | operators between the early layer and the logits |\n\
         |---|---|---|"
    );
    for (title, operators) in &operators {
        println!("| {title} | {} |", operators.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    println!(
        "\n{rows} gradients: {} within 1e-4 in float32, {proven} above it but correct in float64, \
         {holes} missing or wrong.",
        rows - proven - holes
    );
    Ok(if holes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Report {
    operators: BTreeSet<String>,
    /// Gradients that are missing, or over the tolerance and not shown to be right in 64 bits.
    holes: usize,
    /// Gradients that rounding changes, and that are right in 64 bits.
    proven: usize,
}

/// Prints a row for each layer of one exported model.
fn one(folder: &Path, title: &str, rows: &mut usize) -> Fallible<Report> {
    if let Ok(reason) = std::fs::read_to_string(folder.join("failed.txt")) {
        return Err(
            format!("the exporter fails: {}", reason.lines().next().unwrap_or_default()).into()
        );
    }
    let note: Note = serde_json::from_reader(File::open(folder.join("layers.json"))?)?;
    let mut arrays = NpzReader::new(File::open(folder.join("reference.npz"))?)?;
    // Written by `exact.py`: {module: error in 64 bits}.
    let exact: BTreeMap<String, f64> = match File::open(folder.join("exact.json")) {
        Ok(file) => serde_json::from_reader(file)?,
        Err(_) => BTreeMap::new(),
    };
    let x: Array4<f32> = arrays.by_name::<OwnedRepr<f32>, _>("x.npy")?;
    let targets: ndarray::Array1<i64> = arrays.by_name::<OwnedRepr<i64>, _>("target.npy")?;
    let load = |fast_kernels: bool| {
        let settings = Settings { layer_sessions: 1, fast_kernels, ..Settings::default() };
        ModelRegistry::load_one(ModelFolder::read(folder)?, &settings)
    };
    let (model, fast) = (load(false)?, load(true)?);
    let mut report =
        Report { operators: operators(folder, &note.layers[0].tensor)?, holes: 0, proven: 0 };
    for NotedLayer { module, tensor, framework_error } in &note.layers {
        let layer = model.layer(Some(tensor))?;
        let mut array = |name: &str| -> Fallible<ArrayD<f32>> {
            let array: ArrayD<f64> =
                arrays.by_name::<OwnedRepr<f64>, _>(&format!("{name}|{module}.npy"))?;
            as_maps(layer, array.mapv(|value| value as f32))
        };
        let (expected, act) = (array("grad")?, array("act")?);
        let shape = layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let start = format!("| {title} | {module} | {shape}");
        *rows += 1;
        if let Some(unsupported_reason) = model.gradient_unsupported_reason(layer) {
            println!("{start} | | | {framework_error:.0e} | | {unsupported_reason} |");
            report.holes += 1;
            continue;
        }
        if std::env::var_os(PROGRAMS).is_some() {
            let name = format!("program-{}.onnx", module.replace(['/', '.'], "-"));
            std::fs::write(folder.join(name), model.program(layer)?)?;
        }
        let (found, activation) = run(&model, layer, &x, &targets)?;
        let error = relative(&found, &expected);
        let by_kernels = relative(&run(&fast, layer, &x, &targets)?.0, &expected);
        let mut remarks = Vec::new();
        if model.batch() == 1 {
            remarks.push("images one by one".to_owned());
        }
        if relative(&activation, &act) > TOLERANCE {
            remarks.push(format!("the activation differs by {:.0e}", relative(&activation, &act)));
        }
        let in_64_bits = exact.get(module);
        if error > TOLERANCE {
            let too = if *framework_error > TOLERANCE { ", as its own float32 does" } else { "" };
            if in_64_bits.is_some_and(|error| *error <= EXACT) {
                remarks.push(format!("**rounding decides a kink**{too}"));
                report.proven += 1;
            } else {
                remarks.push(format!("**over 1e-4**{too}"));
                report.holes += 1;
            }
        }
        let in_64_bits = in_64_bits.map(|error| format!("{error:.0e}")).unwrap_or_default();
        println!(
            "{start} | {error:.0e} | {by_kernels:.0e} | {framework_error:.0e} | {in_64_bits} \
             | {} |",
            remarks.join(", ")
        );
    }
    Ok(report)
}

/// Gradient and activation of all images, in one pass if the model computes batches.
fn run(
    model: &Model,
    layer: &Layer,
    x: &Array4<f32>,
    targets: &ndarray::Array1<i64>,
) -> Fallible<(ArrayD<f32>, ArrayD<f32>)> {
    let mut gradients = Vec::new();
    let mut activations = Vec::new();
    // Images in one pass share a target, unless each one's predicted class is differentiated.
    let together = model.batch() > 1;
    let passes = if together {
        vec![(x.clone(), None)]
    } else {
        let target = |&target: &i64| usize::try_from(target).ok();
        x.axis_chunks_iter(Axis(0), 1)
            .map(|image| image.to_owned())
            .zip(targets.iter().map(target))
            .collect()
    };
    for (input, target) in passes {
        let targets = target.into_iter().collect();
        let pass = PassRequest {
            targets,
            gradient_of: GradientOf::Logit,
            activation: true,
            ..PassRequest::new(input)
        };
        let outcome = model.run(layer, pass, &CancellationToken::default())?;
        let gradient = outcome.gradients.into_iter().next().ok_or("the pass gave no gradient")?;
        gradients.push(gradient.into_dyn());
        activations.push(outcome.activation.ok_or("the pass gave no activation")?.into_dyn());
    }
    let join = |parts: &[ArrayD<f32>]| {
        concatenate(Axis(0), &parts.iter().map(|part| part.view()).collect::<Vec<_>>())
    };
    Ok((join(&gradients)?, join(&activations)?))
}

/// Converts an array from the layer's own layout to the engine's, `[N, C, h, w]`.
fn as_maps(layer: &Layer, array: ArrayD<f32>) -> Fallible<ArrayD<f32>> {
    Ok(match layer.layout {
        Layout::Maps => array,
        Layout::ChannelsLast => array.permuted_axes(vec![0, 3, 1, 2]),
        Layout::Rearranged(_) => return Err("a listed layer is never rearranged".into()),
        Layout::Tokens(Tokens { skip, grid: [rows, columns] }) => {
            let positions =
                array.slice(s![.., skip..skip + rows * columns, ..]).permuted_axes([0, 2, 1]);
            let [images, channels, _] = <[usize; 3]>::try_from(positions.shape())?;
            let maps = positions.as_standard_layout().into_owned();
            maps.into_shape_with_order((images, channels, rows, columns))?.into_dyn()
        }
    })
}

/// The operators that the gradient passes through between the score and a tensor.
fn operators(folder: &Path, tensor: &str) -> Fallible<BTreeSet<String>> {
    let file = OnnxFile::open(&folder.join("model.onnx"))?;
    let prepared = PreparedModel::new(&file.model)?.upgraded();
    let graph_index = GraphIndex::new(prepared.graph());
    // Every model of the zoo has one output: the logits, or their softmax.
    let output = prepared.graph().output.first().map_or("", |output| output.name());
    let (downstream, upstream) =
        (graph_index.downstream(tensor, vjp::is_non_differentiable), graph_index.upstream(output));
    let between = |name: &String| {
        name != tensor && downstream.contains(name.as_str()) && upstream.contains(name.as_str())
    };
    let nodes = prepared.graph().node.iter().filter(|node| node.output.iter().any(between));
    Ok(nodes.map(|node| node.op().to_owned()).collect())
}

/// The largest difference, relative to the largest value expected.
fn relative(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f32 {
    if found.shape() != expected.shape() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    worst(found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / largest))) as f32
}
