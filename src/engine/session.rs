//! One program in one ONNX Runtime session: a pass in, arrays out.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array, Array2, Array4, ArrayD, ArrayView, ArrayView1, Dimension, Ix5};
use ort::logging::LogLevel;
use ort::session::{RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::cancel::CancellationToken;
use super::optimize::operators::{Operators, Stop};
use super::runtime::Runtime;
use crate::error::{Error, Kind, Result};
use crate::graph::explain_graph::{GradientOf, names};

/// What a run is to compute.
#[derive(Clone, Debug)]
pub struct PassRequest {
    /// The input tensor, `[N, C, H, W]` or `[N, H, W, C]` as the model wants it.
    pub input: Array4<f32>,
    /// The classes to differentiate, the same for all N, which share the forward pass; the
    /// predicted one when there is none.
    pub targets: Vec<usize>,
    /// The class whose score is taken off each of them first.
    pub contrast: Option<usize>,
    /// The gradient that is wanted.
    pub gradient_of: GradientOf,
    /// Whether the layer's activation is wanted.
    pub activation: bool,
    /// Whether what the layer's tail reads besides the activation is wanted.
    pub carry: bool,
}

impl PassRequest {
    /// A plain forward pass.
    #[must_use]
    pub fn of(input: Array4<f32>) -> Self {
        Self {
            input,
            targets: Vec::new(),
            contrast: None,
            gradient_of: GradientOf::Nothing,
            activation: false,
            carry: false,
        }
    }
}

/// What a run gave, as one of the layers that it was for has it.
#[derive(Clone, Debug)]
pub struct PassOutput {
    /// `[N, classes]`: logits, but for models that hide them.
    pub scores: Array2<f32>,
    /// `[N, classes]`.
    pub probabilities: Array2<f32>,
    /// `[N, C, h, w]`, if asked for.
    pub activation: Option<Array4<f32>>,
    /// One a class, in the order of the targets, each `[N, C, h, w]`; none where none was asked
    /// for.
    pub gradients: Vec<Array4<f32>>,
    /// Whether it was known already, from an earlier run or another layer's outcome, and the model
    /// did not run for it.
    pub from_cache: bool,
    /// What the layer's tail reads besides the activation, if asked for.
    pub side_inputs: Vec<ArrayD<f32>>,
}

/// The class of the largest score, the first of equal ones: what the program differentiates
/// unasked.
#[must_use]
pub fn predicted(scores: ArrayView1<'_, f32>) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// A program, encoded, and what its inputs are.
pub(super) struct CompiledProgram {
    pub(super) model: Vec<u8>,
    /// Names of the float inputs, the first of which is the image or the activation.
    pub(super) inputs: Vec<String>,
    /// The outputs that hold the layers' activations, a layer each.
    pub(super) activations: Vec<String>,
    /// The outputs that a tail reads besides the activation.
    pub(super) side_inputs: Vec<String>,
    /// Whether some of it is computed in integers.
    pub(super) in_integers: bool,
}

/// One run of a program: what goes in, and which outputs are wanted.
pub(super) struct RunInputs {
    /// In the order of [`CompiledProgram::inputs`]; all of them have the batch of the first.
    pub(super) inputs: Vec<ArrayD<f32>>,
    /// For each gradient and each of the batch the class, −1 for the predicted one: `[K, N]`.
    pub(super) target: Array2<i64>,
    /// For each gradient and each of the batch the class to take off, −1 for none: `[K, N]`.
    pub(super) contrast: Array2<i64>,
    pub(super) gradient_of: GradientOf,
    pub(super) activation: bool,
}

impl From<PassRequest> for RunInputs {
    fn from(pass: PassRequest) -> Self {
        let count = pass.input.shape()[0];
        let number = |class: Option<usize>| class.map_or(-1, |class| class as i64);
        let targets: Vec<i64> = match pass.gradient_of {
            GradientOf::Nothing => Vec::new(),
            _ if pass.targets.is_empty() => vec![number(None)],
            _ => pass.targets.into_iter().map(Some).map(number).collect(),
        };
        let sizes = (targets.len(), count);
        Self {
            target: Array2::from_shape_fn(sizes, |(gradient, _)| targets[gradient]),
            contrast: Array2::from_elem(sizes, number(pass.contrast)),
            gradient_of: pass.gradient_of,
            activation: pass.activation,
            inputs: vec![pass.input.into_dyn()],
        }
    }
}

/// A program that is ready to run.
pub(super) struct ProgramSession {
    session: Session,
    inputs: Vec<String>,
    activations: Vec<String>,
    side_inputs: Vec<String>,
    stop: Stop,
}

impl ProgramSession {
    /// Makes the session.
    pub(super) fn new(
        runtime: &Runtime,
        compiled: CompiledProgram,
        folder: &Path,
        optimise: bool,
        operators: &Operators,
    ) -> Result<Self> {
        let session = runtime
            .session(&compiled.model, folder, optimise, compiled.in_integers, Some(operators))
            .map_err(|error| {
                Error::new(
                    Kind::Setup,
                    format!("ONNX Runtime refuses the model: {}", first_line(&error)),
                )
            })?;
        let CompiledProgram { inputs, activations, side_inputs, .. } = compiled;
        Ok(Self { session, inputs, activations, side_inputs, stop: operators.stop().clone() })
    }

    /// Runs once, and gives an outcome for each layer. Raising `cancel` stops it between two
    /// kernels, and within a chain of convolutions.
    pub(super) fn run(
        &mut self,
        call: &RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let fault = |error: ort::Error| Error::internal("running the model", error);
        let wanted = [call.gradient_of as i64];
        let has_gradient = self.session.inputs().iter().any(|input| input.name() == names::WANTED);

        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for (name, array) in self.inputs.iter().zip(&call.inputs) {
            let value = TensorRef::from_array_view(array.view()).map_err(fault)?;
            inputs.push((name.as_str().into(), value.into()));
        }
        if has_gradient {
            for (name, classes) in
                [(names::TARGET, &call.target), (names::CONTRAST, &call.contrast)]
            {
                let value = TensorRef::from_array_view(classes.view()).map_err(fault)?;
                inputs.push((name.into(), value.into()));
            }
            let wanted =
                TensorRef::from_array_view(([1_usize], wanted.as_slice())).map_err(fault)?;
            inputs.push((names::WANTED.into(), wanted.into()));
        }

        cancel.check()?;
        let mut options = RunOptions::new().map_err(fault)?;
        // What goes wrong comes back as an error and is logged once; a run that is stopped is no
        // error at all.
        options.set_log_level(LogLevel::Fatal).map_err(fault)?;
        let options = Arc::new(options);
        let (stop_run, stop_chain) = (Arc::clone(&options), self.stop.clone());
        self.stop.lower();
        let running = cancel.running(move || {
            // It fails only where there is no run to stop.
            let _ = stop_run.terminate();
            stop_chain.raise();
        });
        let result = self.session.run_with_options(inputs, &options);
        drop(running);
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(error) => {
                cancel.check()?;
                return Err(fault(error));
            }
        };
        let of_layer = |(place, activation): (usize, &String)| {
            Ok(PassOutput {
                scores: array(&outputs, names::SCORES)?,
                probabilities: array(&outputs, names::PROBABILITIES)?,
                activation: if call.activation { Some(array(&outputs, activation)?) } else { None },
                gradients: match call.gradient_of {
                    GradientOf::Nothing => Vec::new(),
                    _ => view::<Ix5>(&outputs, &names::gradient(place))?
                        .outer_iter()
                        .map(|one| one.to_owned())
                        .collect(),
                },
                from_cache: place > 0,
                side_inputs: self
                    .side_inputs
                    .iter()
                    .map(|name| array(&outputs, name))
                    .collect::<Result<_>>()?,
            })
        };
        self.activations.iter().enumerate().map(of_layer).collect()
    }
}

/// An output where it lies in the runtime's memory.
fn view<'o, D: Dimension>(
    outputs: &'o SessionOutputs<'_>,
    name: &str,
) -> Result<ArrayView<'o, f32, D>> {
    let value =
        outputs.get(name).ok_or_else(|| Error::internal("reading an output", name.to_owned()))?;
    let view = value
        .try_extract_array::<f32>()
        .map_err(|error| Error::internal("reading an output", error))?;
    view.into_dimensionality().map_err(|error| Error::internal("the shape of an output", error))
}

/// Takes an output out of the runtime's memory.
fn array<D: Dimension>(outputs: &SessionOutputs<'_>, name: &str) -> Result<Array<f32, D>> {
    Ok(view(outputs, name)?.to_owned())
}

/// Runs a session on plain inputs and takes all its outputs: for probing a model at load.
pub(super) fn run_raw(
    session: &mut Session,
    input: &str,
    image: &Array4<f32>,
) -> ort::Result<Vec<(String, RawOutput)>> {
    let names: Vec<String> =
        session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
        vec![(input.into(), TensorRef::from_array_view(image.view())?.into())];
    let outputs = session.run(inputs)?;
    Ok(names
        .into_iter()
        .filter_map(|name| {
            let value = outputs.get(&name)?;
            let raw = match value.try_extract_array::<i64>() {
                Ok(values) => RawOutput::Integers(values.iter().copied().collect()),
                Err(_) => RawOutput::Numbers(value.try_extract_array::<f32>().ok()?.to_owned()),
            };
            Some((name, raw))
        })
        .collect())
}

/// An output of a probe.
pub(super) enum RawOutput {
    /// A shape, axes, pads.
    Integers(Vec<i64>),
    /// A tensor of floats.
    Numbers(ArrayD<f32>),
}

/// The runtime's messages run over several lines and name its source files; the first says what is
/// wrong.
pub(super) fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
