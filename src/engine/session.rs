//! One program in one ONNX Runtime session: a pass in, arrays out.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array4, ArrayD};
use ort::session::{RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::cancel::Cancel;
use super::operator::{Operators, Stop};
use super::runtime::Runtime;
use crate::error::{Error, Kind, Result};
use crate::graph::program::{Wanted, names};

/// What a run is to compute.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The input tensor, `[N, C, H, W]` or `[N, H, W, C]` as the model wants it.
    pub input: Array4<f32>,
    /// The class to differentiate, the same for all N; the predicted one when absent.
    pub target: Option<usize>,
    /// The gradient that is wanted.
    pub wanted: Wanted,
    /// Whether the layer's activation is wanted.
    pub activation: bool,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `[N, classes]`: logits, but for models that hide them.
    pub scores: Array2<f32>,
    /// `[N, classes]`.
    pub probabilities: Array2<f32>,
    /// `[N, C, h, w]`, if asked for.
    pub activation: Option<Array4<f32>>,
    /// `[N, C, h, w]`, if asked for.
    pub gradient: Option<Array4<f32>>,
    /// Whether it was known from an earlier run, and the model did not run.
    pub is_known: bool,
}

/// A program that is ready to run.
pub(super) struct Program {
    session: Session,
    input: String,
    stop: Stop,
}

impl Program {
    /// Makes the session; `input` is the name of the image input.
    pub(super) fn new(
        runtime: &Runtime,
        model: &[u8],
        folder: &Path,
        input: &str,
        optimise: bool,
        operators: &Operators,
    ) -> Result<Self> {
        let session = runtime.session(model, folder, optimise, Some(operators)).map_err(|error| {
            Error::new(Kind::Setup, format!("ONNX Runtime refuses the model: {}", first_line(&error)))
        })?;
        Ok(Self { session, input: input.to_owned(), stop: operators.stop().clone() })
    }

    /// Runs one pass. Raising `cancel` stops it between two kernels, and within a chain of convolutions.
    pub(super) fn run(&mut self, pass: &Pass, cancel: &Cancel) -> Result<Outcome> {
        let fault = |error: ort::Error| Error::internal("running the model", error);
        let count = pass.input.shape()[0];
        let target = vec![pass.target.map_or(-1, |class| class as i64); count];
        let wanted = [pass.wanted as i64];
        let has_gradient = self.session.inputs().iter().any(|input| input.name() == names::WANTED);

        let image = TensorRef::from_array_view(pass.input.view()).map_err(fault)?;
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            vec![(self.input.as_str().into(), image.into())];
        if has_gradient {
            let target = TensorRef::from_array_view(([count], target.as_slice())).map_err(fault)?;
            let wanted = TensorRef::from_array_view(([1_usize], wanted.as_slice())).map_err(fault)?;
            inputs.push((names::TARGET.into(), target.into()));
            inputs.push((names::WANTED.into(), wanted.into()));
        }

        cancel.check()?;
        let options = Arc::new(RunOptions::new().map_err(fault)?);
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
        Ok(Outcome {
            scores: array(&outputs, names::SCORES)?,
            probabilities: array(&outputs, names::PROBABILITIES)?,
            activation: if pass.activation { Some(array(&outputs, names::ACTIVATION)?) } else { None },
            gradient: match pass.wanted {
                Wanted::Nothing => None,
                _ => Some(array(&outputs, names::GRADIENT)?),
            },
            is_known: false,
        })
    }
}

/// Takes an output out of the runtime's memory.
fn array<D: ndarray::Dimension>(outputs: &SessionOutputs<'_>, name: &str) -> Result<ndarray::Array<f32, D>> {
    let value = outputs.get(name).ok_or_else(|| Error::internal("reading an output", name.to_owned()))?;
    let view =
        value.try_extract_array::<f32>().map_err(|error| Error::internal("reading an output", error))?;
    view.to_owned().into_dimensionality().map_err(|error| Error::internal("the shape of an output", error))
}

/// Runs a session on plain inputs and takes all its outputs: for probing a model at load.
pub(super) fn run_raw(
    session: &mut Session,
    input: &str,
    image: &Array4<f32>,
) -> ort::Result<Vec<(String, RawOutput)>> {
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
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

/// The runtime's messages run over several lines and name its source files; the first says what is wrong.
pub(super) fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
