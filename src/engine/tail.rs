//! Tail passes: the scores for many changed activations of one layer.
//!
//! The whole model has run once, with [`PassRequest::side_inputs`](super::PassRequest). As only the
//! layer's activation changes, only the part of the model after the layer runs, in batches. Its
//! side inputs are the same for all activations and repeated along their batch axis.

use ndarray::{Array2, Array4, ArrayD, ArrayViewMut3, Axis, concatenate, s};

use super::cancellation::CancellationToken;
use super::compiler::ProgramKey;
use super::masked::PassScores;
use super::model::Model;
use super::session::{PassOutput, RunInputs};
use crate::error::{Error, Kind, Result};
use crate::graph::layers::Layer;
use crate::graph::program_io::GradientOf;
use crate::graph::tail::SideInput;

/// The part of a model after one layer, for one image.
pub struct TailRunner<'a> {
    model: &'a Model,
    layer: &'a Layer,
    /// The image's side inputs, each with its batch axis if it has one.
    side_inputs: Vec<(&'a ArrayD<f32>, Option<usize>)>,
}

impl<'a> TailRunner<'a> {
    /// The tail of `layer` for an image. `side_inputs` come from a pass of that image.
    ///
    /// # Errors
    /// [`Kind::Impossible`] when the tail cannot run on its own.
    pub fn new(model: &'a Model, layer: &'a Layer, side_inputs: &'a [ArrayD<f32>]) -> Result<Self> {
        let declared = (model.tail_side_inputs(layer))
            .map_err(|reason| Error::new(Kind::Impossible, reason))?;
        if declared.len() != side_inputs.len() {
            return Err(Error::internal("running a tail", "the pass returned no side inputs"));
        }
        let facts = &model.analysed().facts;
        let with_batch_axis = |(input, array): (SideInput, &'a ArrayD<f32>)| {
            let sizes = facts.get(&input.tensor).unwrap_or_default();
            match batch_axis(sizes, array.shape()) {
                Some(axis) => Ok((array, axis)),
                None => Err(unknown_batch_axis(&input.tensor)),
            }
        };
        let side_inputs =
            declared.into_iter().zip(side_inputs).map(with_batch_axis).collect::<Result<_>>()?;
        Ok(Self { model, layer, side_inputs })
    }

    /// Runs a batch of activations `[B, C, h, w]`.
    fn run(&self, batch: Array4<f32>, cancel: &CancellationToken) -> Result<PassOutput> {
        let count = batch.shape()[0];
        let mut inputs = vec![batch.into_dyn()];
        for (array, axis) in &self.side_inputs {
            inputs.push(match axis {
                Some(axis) if count > 1 => {
                    let copies = vec![array.view(); count];
                    concatenate(Axis(*axis), &copies)
                        .map_err(|error| Error::internal("repeating a side input", error))?
                }
                _ => (*array).clone(),
            });
        }
        let none = || Array2::zeros((0, count));
        let inputs = RunInputs {
            inputs,
            target: none(),
            contrast: none(),
            gradient_of: GradientOf::None,
            activation: false,
        };
        self.model.run_program(Some(ProgramKey::Tail(self.layer.tensor.clone())), inputs, cancel)
    }

    /// The scores for `count` activations; `change(k, out)` writes activation k, `[C, h, w]`.
    ///
    /// `progress` is called after each batch with the number of finished passes and the scores so
    /// far.
    ///
    /// # Errors
    /// Those of the engine and of `progress`; the batch in progress is the last that runs.
    pub fn passes(
        &self,
        count: usize,
        mut change: impl FnMut(usize, ArrayViewMut3<'_, f32>),
        cancel: &CancellationToken,
        progress: &dyn Fn(usize, &PassScores) -> Result<()>,
    ) -> Result<PassScores> {
        let mut result =
            PassScores { ran: count, ..PassScores::zeros(count, self.model.classes()) };
        let [channels, height, width] = self.layer.shape;
        let mut done = 0;
        while done < count {
            cancel.check()?;
            let size = self.model.batch_now(cancel).min(count - done);
            let mut batch = Array4::zeros((size, channels, height, width));
            for (slot, activation) in batch.outer_iter_mut().enumerate() {
                change(done + slot, activation);
            }
            let output = self.run(batch, cancel)?;
            let rows = s![done..done + size, ..];
            result.scores.slice_mut(rows).assign(&output.scores);
            result.probabilities.slice_mut(rows).assign(&output.probabilities);
            done += size;
            progress(done, &result)?;
        }
        Ok(result)
    }
}

/// The batch axis of a tensor, which is twice as long as for a `single` image if the model was
/// `measured` with two: `Some(None)` if no axis changed, `None` if the axis is unclear.
fn batch_axis(measured: &[i64], single: &[usize]) -> Option<Option<usize>> {
    if measured.len() != single.len() {
        return None;
    }
    let mut grown = (0..single.len()).filter(|&axis| measured[axis] != single[axis] as i64);
    match (grown.next(), grown.next()) {
        (None, _) => Some(None),
        (Some(axis), None) if measured[axis] == 2 * single[axis] as i64 => Some(Some(axis)),
        _ => None,
    }
}

fn unknown_batch_axis(tensor: &str) -> Error {
    let detail = format!("the part after the layer reads '{tensor}', whose batch axis is unknown");
    Error::new(Kind::Impossible, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_axis_is_the_axis_that_doubled() {
        assert_eq!(batch_axis(&[2, 8, 4], &[1, 8, 4]), Some(Some(0)));
        assert_eq!(batch_axis(&[50, 2, 8], &[50, 1, 8]), Some(Some(1)));
        assert_eq!(batch_axis(&[18, 8], &[9, 8]), Some(Some(0)));
        assert_eq!(batch_axis(&[3, 8], &[3, 8]), Some(None));
        assert_eq!(batch_axis(&[2, 16], &[1, 8]), None);
        assert_eq!(batch_axis(&[3, 8], &[1, 8]), None);
    }
}
