//! A program in an ONNX Runtime session: arrays in, arrays out.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray::{Array, Array2, Array4, ArrayD, ArrayView, ArrayView1, Dimension, Ix5};
use ort::logging::LogLevel;
use ort::session::{RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::cancellation::CancellationToken;
use super::optimize::operators::{DoubtfulGates, Operators, Stop};
use super::runtime::Runtime;
use super::weights::HeldSession;
use crate::error::{Error, Kind, Result};
use crate::graph::program_io::{GradientOf, io_names};
use crate::model::onnx_file::EncodedModel;

/// What a pass takes and what it computes.
#[derive(Clone, Debug)]
pub struct PassRequest {
    /// The input tensor as the model takes it, `[N, C, H, W]` or `[N, H, W, C]`.
    pub input: Array4<f32>,
    /// The classes whose scores are differentiated, the same for all N images; when empty, the
    /// predicted class of each image.
    pub targets: Vec<usize>,
    /// The class whose score is subtracted from each of them first.
    pub contrast: Option<usize>,
    /// The score that is differentiated.
    pub gradient_of: GradientOf,
    /// Whether the output includes the layer's activation.
    pub activation: bool,
    /// Whether the output includes the side inputs of the layer's tail.
    pub side_inputs: bool,
}

impl PassRequest {
    /// A plain forward pass.
    #[must_use]
    pub fn new(input: Array4<f32>) -> Self {
        Self {
            input,
            targets: Vec::new(),
            contrast: None,
            gradient_of: GradientOf::None,
            activation: false,
            side_inputs: false,
        }
    }
}

/// The output of a pass for one layer.
#[derive(Clone, Debug)]
pub struct PassOutput {
    /// `[N, classes]`: logits, or probabilities where the model hides its logits.
    pub scores: Array2<f32>,
    /// `[N, classes]`.
    pub probabilities: Array2<f32>,
    /// `[N, C, h, w]`, if requested.
    pub activation: Option<Array4<f32>>,
    /// One gradient for each target, in their order, each `[N, C, h, w]`; empty if none was
    /// requested.
    pub gradients: Vec<Array4<f32>>,
    /// True when the model did not run for this output: it was cached, or it comes from the same
    /// run as another layer's output.
    pub from_cache: bool,
    /// The side inputs of the layer's tail, if requested.
    pub side_inputs: Vec<ArrayD<f32>>,
    /// How many ReLU gates and pooling choices that a gradient goes through lie within rounding, in
    /// all images: each may send its gradient elsewhere in exact arithmetic. Counted where that is
    /// cheap: in chains of 3×3 convolutions with max pooling, for the layers before each pooling.
    pub doubtful_gates: Option<usize>,
}

/// The class with the largest score, the first of equal ones; programs differentiate it by
/// default.
#[must_use]
pub fn predicted(scores: ArrayView1<'_, f32>) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// An encoded program with the names of its inputs and outputs.
pub(super) struct CompiledProgram {
    pub(super) model: EncodedModel,
    /// The float inputs: first the image or the activation, then the side inputs.
    pub(super) inputs: Vec<String>,
    /// The outputs that hold the activations, one for each layer.
    pub(super) activations: Vec<String>,
    /// The outputs that are side inputs of the layer's tail.
    pub(super) side_outputs: Vec<String>,
    /// Whether some of its operators compute in integers.
    pub(super) has_integer_operators: bool,
}

/// The inputs of one run, and which outputs are read.
pub(super) struct RunInputs {
    /// In the order of [`CompiledProgram::inputs`], all with the same batch size.
    pub(super) inputs: Vec<ArrayD<f32>>,
    /// The class for each gradient and image, −1 for the predicted one: `[K, N]`.
    pub(super) target: Array2<i64>,
    /// The class to subtract for each gradient and image, −1 for none: `[K, N]`.
    pub(super) contrast: Array2<i64>,
    pub(super) gradient_of: GradientOf,
    pub(super) activation: bool,
}

impl RunInputs {
    /// The number of images, at least 1.
    pub(super) fn images(&self) -> u32 {
        let images = self.inputs.first().and_then(|input| input.shape().first().copied());
        images.and_then(|images| u32::try_from(images).ok()).unwrap_or(1).max(1)
    }
}

impl From<PassRequest> for RunInputs {
    fn from(pass: PassRequest) -> Self {
        let count = pass.input.shape()[0];
        let index = |class: Option<usize>| class.map_or(-1, |class| class as i64);
        let targets: Vec<i64> = match pass.gradient_of {
            GradientOf::None => Vec::new(),
            _ if pass.targets.is_empty() => vec![index(None)],
            _ => pass.targets.into_iter().map(Some).map(index).collect(),
        };
        let sizes = (targets.len(), count);
        Self {
            target: Array2::from_shape_fn(sizes, |(gradient, _)| targets[gradient]),
            contrast: Array2::from_elem(sizes, index(pass.contrast)),
            gradient_of: pass.gradient_of,
            activation: pass.activation,
            inputs: vec![pass.input.into_dyn()],
        }
    }
}

/// A program in an open session.
pub(super) struct ProgramSession {
    session: HeldSession,
    inputs: Vec<String>,
    activations: Vec<String>,
    side_outputs: Vec<String>,
    stop: Stop,
    doubtful_gates: DoubtfulGates,
}

impl ProgramSession {
    /// Opens the session.
    pub(super) fn new(
        runtime: &Runtime,
        compiled: CompiledProgram,
        optimise: bool,
        operators: &Operators,
    ) -> Result<Self> {
        let session = runtime
            .session(&compiled.model, optimise, compiled.has_integer_operators, Some(operators))
            .map_err(|error| {
                Error::new(
                    Kind::Setup,
                    format!("ONNX Runtime rejects the model: {}", first_line(&error)),
                )
            })?;
        let CompiledProgram { inputs, activations, side_outputs, .. } = compiled;
        let (stop, doubtful_gates) = (operators.stop.clone(), operators.doubtful_gates.clone());
        Ok(Self { session, inputs, activations, side_outputs, stop, doubtful_gates })
    }

    /// Runs once and returns an output for each layer. `cancel` stops it between two kernels, and
    /// within a chain of convolutions.
    pub(super) fn run(
        &mut self,
        inputs: &RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let fault = |error: ort::Error| Error::internal("running the model", error);
        let gradient_of = [inputs.gradient_of as i64];
        let has_gradient =
            self.session.inputs().iter().any(|input| input.name() == io_names::GRADIENT_OF);

        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for (name, array) in self.inputs.iter().zip(&inputs.inputs) {
            let value = TensorRef::from_array_view(array.view()).map_err(fault)?;
            values.push((name.as_str().into(), value.into()));
        }
        if has_gradient {
            for (name, classes) in
                [(io_names::TARGET, &inputs.target), (io_names::CONTRAST, &inputs.contrast)]
            {
                let value = TensorRef::from_array_view(classes.view()).map_err(fault)?;
                values.push((name.into(), value.into()));
            }
            let value =
                TensorRef::from_array_view(([1_usize], gradient_of.as_slice())).map_err(fault)?;
            values.push((io_names::GRADIENT_OF.into(), value.into()));
        }

        cancel.check()?;
        let mut options = RunOptions::new().map_err(fault)?;
        // Fatal only: the caller logs errors once, and a cancelled run is not an error.
        options.set_log_level(LogLevel::Fatal).map_err(fault)?;
        let options = Arc::new(options);
        let (stop_run, stop_chain) = (Arc::clone(&options), self.stop.clone());
        self.stop.lower();
        let running = cancel.running(move || {
            // This fails only when there is no run to stop.
            let _ = stop_run.terminate();
            stop_chain.raise();
        });
        let result = self.session.run_with_options(values, &options);
        drop(running);
        // Without a gradient no gate matters, whatever the program could compute.
        let is_gradient = inputs.gradient_of != GradientOf::None;
        let doubtful_gates = self.doubtful_gates.take().filter(|_| is_gradient);
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(error) => {
                cancel.check()?;
                return Err(fault(error));
            }
        };
        if let Some(doubtful_gates) = doubtful_gates {
            tracing::debug!(doubtful_gates, "ReLU gates and pooling choices within rounding");
        }
        let layer_output = |(index, activation): (usize, &String)| {
            Ok(PassOutput {
                scores: array(&outputs, io_names::SCORES)?,
                probabilities: array(&outputs, io_names::PROBABILITIES)?,
                activation: if inputs.activation {
                    Some(array(&outputs, activation)?)
                } else {
                    None
                },
                gradients: match inputs.gradient_of {
                    GradientOf::None => Vec::new(),
                    _ => view::<Ix5>(&outputs, &io_names::gradient(index))?
                        .outer_iter()
                        .map(|gradient| gradient.to_owned())
                        .collect(),
                },
                from_cache: index > 0,
                side_inputs: self
                    .side_outputs
                    .iter()
                    .map(|name| array(&outputs, name))
                    .collect::<Result<_>>()?,
                doubtful_gates,
            })
        };
        self.activations.iter().enumerate().map(layer_output).collect()
    }
}

/// A view of an output in the runtime's memory.
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

/// A copy of an output.
fn array<D: Dimension>(outputs: &SessionOutputs<'_>, name: &str) -> Result<Array<f32, D>> {
    Ok(view(outputs, name)?.to_owned())
}

/// Runs a session on one image and returns all outputs, to measure a model at load.
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
                Err(_) => RawOutput::Floats(value.try_extract_array::<f32>().ok()?.to_owned()),
            };
            Some((name, raw))
        })
        .collect())
}

/// An output of a measured model.
pub(super) enum RawOutput {
    /// A shape, axes, pads.
    Integers(Vec<i64>),
    /// A tensor of floats.
    Floats(ArrayD<f32>),
}

/// The first line of an error, which says what is wrong; the runtime's messages go on with its
/// source files.
pub(super) fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
