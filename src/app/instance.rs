//! One instance of a batch: an image file, or a tensor that the client preprocessed itself.
//!
//! Other inference servers take several instances per request, and images in more forms than
//! `/v1/explain` does. Each instance runs like a request of its own and gives the same results.

use std::time::Instant;

use bytes::Bytes;
use image::RgbImage;
use ndarray::{Array2, Array3, Array4, Axis};

use super::execute::{Execution, execute};
use super::operation::Operation;
use super::options::Output;
use super::render;
use super::request::{ExplainRequest, RequestOptions};
use super::response::{ExplainResponse, ImageSize, TimingMs, json};
use super::validate;
use crate::engine::{CancellationToken, Model};
use crate::error::{Error, Kind, Result};
use crate::explain::result::{Explanation, Predictions, ms_since};
use crate::model::manifest::Layout;
use crate::picture::decode::{Limits, decode};

/// One instance.
#[derive(Clone, Debug)]
pub enum Instance {
    /// An image file.
    Image(Bytes),
    /// The model's input, `[1, C, H, W]` or `[1, H, W, C]` as the model takes it.
    Tensor(Array4<f32>),
}

/// What all instances of a batch share.
#[derive(Clone, Copy)]
pub struct InstanceContext<'a> {
    /// The model.
    pub model: &'a Model,
    /// The options.
    pub options: &'a RequestOptions,
    /// The limits of image files.
    pub limits: Limits,
    /// Stops the work.
    pub cancel: &'a CancellationToken,
}

/// A map with what a protocol says about it.
#[derive(Debug)]
pub struct Finding {
    /// The explanation.
    pub explanation: Explanation,
    /// The map `[h, w]` at the requested size.
    pub map: Array2<f32>,
    size: ImageSize,
    timing: TimingMs,
}

impl Finding {
    /// The JSON response of `/v1/explain`, with the `top_k` most probable classes.
    ///
    /// # Errors
    /// [`Kind::Internal`] if writing JSON fails.
    pub fn json(&self, top_k: usize) -> Result<Bytes> {
        let mut explanation = self.explanation.clone();
        explanation.predictions.truncate(top_k);
        Ok(json::explanation(&explanation, &self.map, self.size, self.timing)?.body)
    }
}

impl Instance {
    /// A tensor from values in row-major order. The shape is the model's, `[C, H, W]` or
    /// `[H, W, C]`, or the other of the two, whose axes are then reordered. Leading axes of length
    /// 1 are dropped.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for any other shape.
    pub fn from_values(model: &Model, shape: &[usize], values: Vec<f32>) -> Result<Self> {
        let preprocess = model.preprocess();
        let own = preprocess.shape();
        let (other, to_own) = match preprocess.layout {
            Layout::Nchw => ([own[1], own[2], own[0]], [2, 0, 1]),
            Layout::Nhwc => ([own[2], own[0], own[1]], [1, 2, 0]),
        };
        let batch_axes = shape.len().saturating_sub(3);
        let has_batch_of_one = shape[..batch_axes].iter().all(|length| *length == 1);
        let given = Some(&shape[batch_axes..]).filter(|_| has_batch_of_one);
        let array = match given {
            Some(given) if given == own => Array3::from_shape_vec(own, values),
            Some(given) if given == other => Array3::from_shape_vec(other, values)
                .map(|array| array.permuted_axes(to_own).as_standard_layout().into_owned()),
            _ => {
                let detail = format!(
                    "an array of shape {shape:?} is no input of model '{}', which takes {own:?} or \
                     {other:?}; image files can have any size",
                    model.id()
                );
                return Err(Error::new(Kind::Malformed, detail));
            }
        };
        let array = array.map_err(|error| {
            let detail = format!("an array does not have the shape that it claims: {shape:?}");
            Error::new(Kind::Malformed, detail).caused_by(error)
        })?;
        Ok(Self::Tensor(array.insert_axis(Axis(0))))
    }

    /// Runs an operation and writes its response.
    ///
    /// # Errors
    /// Those of [`execute`], and [`Kind::Option`] if a picture is requested of a tensor.
    pub fn execute(
        &self,
        operation: Operation,
        context: InstanceContext<'_>,
    ) -> Result<ExplainResponse> {
        let InstanceContext { options, limits, .. } = context;
        match self {
            Self::Image(image) => {
                let (image, options) = (image.clone(), options.clone());
                let request = ExplainRequest { operation, image, options };
                execute(context.model, &request, limits, context.cancel, &|_, _| {})
            }
            Self::Tensor(_) => {
                let output = options.rendering.output;
                if !matches!(output, Output::Json | Output::Npy) {
                    let detail = "a tensor has no picture to draw on: 'output' can be json or npy";
                    return Err(Error::new(Kind::Option, detail).about("output"));
                }
                self.execution(context)?.respond(operation, limits)
            }
        }
    }

    /// Explains one class.
    ///
    /// # Errors
    /// Those of [`execute`], and [`Kind::Option`] for several classes.
    pub fn explain(&self, context: InstanceContext<'_>) -> Result<Finding> {
        if validate::targets(context.model, &context.options.explain)?.len() > 1 {
            let detail = "'target' names several classes; it takes one here";
            return Err(Error::new(Kind::Option, detail).about("target"));
        }
        let execution = self.execution(context)?;
        let explanations = execution.explanations(Operation::Explain, context.limits)?;
        let explanation = explanations
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal("explaining one class", "there is no map"))?;
        let started = Instant::now();
        let map = render::map(&explanation, &execution.image, &context.options.rendering);
        let timing = execution.timing(std::slice::from_ref(&explanation), started);
        Ok(Finding { explanation, map, size: execution.size(), timing })
    }

    /// Predicts the `top_k` most probable classes.
    ///
    /// # Errors
    /// Those of decoding and of the engine.
    pub fn predict(&self, top_k: usize, context: InstanceContext<'_>) -> Result<Predictions> {
        self.execution(context)?.predictions(top_k)
    }

    fn execution<'a>(&'a self, context: InstanceContext<'a>) -> Result<Execution<'a>> {
        let InstanceContext { model, options, limits, cancel } = context;
        let started = Instant::now();
        let (image, tensor) = match self {
            Self::Image(bytes) => (decode(bytes, &limits)?, None),
            Self::Tensor(tensor) => {
                let preprocess = model.preprocess();
                (RgbImage::new(preprocess.width, preprocess.height), Some(tensor))
            }
        };
        let decode_ms = ms_since(started);
        Ok(Execution { model, options, image, tensor, decode_ms, cancel, observer: &|_, _| {} })
    }
}
