//! Tail passes: the scores for many changed activations of one layer.
//!
//! The head of the model ran once, with [`PassRequest::carry`](super::Pass); what changes is the layer's
//! activation, so only what stands behind it runs, in batches. What the tail reads of the head
//! besides the activation is the same for all and repeated along its batch axis.

use ndarray::{Array2, Array4, ArrayD, ArrayViewMut3, Axis, concatenate, s};

use super::cancel::CancellationToken;
use super::masked::PassScores;
use super::model::Model;
use super::session::{PassOutput, RunInputs};
use super::worker::ProgramKey;
use crate::error::{Error, Kind, Result};
use crate::graph::explain_graph::GradientOf;
use crate::graph::layers::Layer;

/// What stands behind one layer, for one image.
pub struct TailRunner<'a> {
    model: &'a Model,
    layer: &'a Layer,
    /// What the tail reads besides the activation, of the one image, with the axis to repeat it
    /// along.
    side_inputs: Vec<(&'a ArrayD<f32>, Option<usize>)>,
}

impl<'a> TailRunner<'a> {
    /// The tail of `layer` for the image whose pass gave `side_inputs`.
    ///
    /// # Errors
    /// [`Kind::Impossible`] when the tail can't be run by itself.
    pub fn new(model: &'a Model, layer: &'a Layer, side_inputs: &'a [ArrayD<f32>]) -> Result<Self> {
        let programs = model.programs();
        let tail = programs.tail(layer).map_err(|why| Error::new(Kind::Impossible, why))?;
        if tail.side_inputs.len() != side_inputs.len() {
            return Err(Error::internal("running a tail", "the pass carried nothing over"));
        }
        let along = |((_, tensor), array): (&(String, String), &'a ArrayD<f32>)| {
            let sizes = programs.shapes.get(tensor).unwrap_or_default();
            Ok((array, batch_axis(sizes, array.shape()).ok_or_else(|| unclear(tensor))?))
        };
        let side_inputs =
            tail.side_inputs.iter().zip(side_inputs).map(along).collect::<Result<_>>()?;
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
                        .map_err(|error| Error::internal("repeating what a tail reads", error))?
                }
                _ => (*array).clone(),
            });
        }
        let none = || Array2::zeros((0, count));
        let call = RunInputs {
            inputs,
            target: none(),
            contrast: none(),
            gradient_of: GradientOf::Nothing,
            activation: false,
        };
        self.model.call(Some(ProgramKey::Tail(self.layer.tensor.clone())), call, cancel)
    }

    /// The scores for `count` activations; `change(k, out)` writes activation k, `[C, h, w]`.
    ///
    /// `progress` hears after each batch how many are done, and sees the answers so far.
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
        let classes = self.model.classes();
        let mut answers = PassScores {
            scores: Array2::zeros((count, classes)),
            probabilities: Array2::zeros((count, classes)),
            ran: count,
        };
        let [channels, height, width] = self.layer.shape;
        let mut done = 0;
        while done < count {
            cancel.check()?;
            let size = self.model.batch().min(count - done);
            let mut batch = Array4::zeros((size, channels, height, width));
            for (slot, activation) in batch.outer_iter_mut().enumerate() {
                change(done + slot, activation);
            }
            let outcome = self.run(batch, cancel)?;
            answers.scores.slice_mut(s![done..done + size, ..]).assign(&outcome.scores);
            answers
                .probabilities
                .slice_mut(s![done..done + size, ..])
                .assign(&outcome.probabilities);
            done += size;
            progress(done, &answers)?;
        }
        Ok(answers)
    }
}

/// The axis that grew when the model was measured with two images: `Some(None)` if none did, `None`
/// if it can't be told.
fn batch_axis(measured: &[i64], alone: &[usize]) -> Option<Option<usize>> {
    if measured.len() != alone.len() {
        return None;
    }
    let mut grown = (0..alone.len()).filter(|&axis| measured[axis] != alone[axis] as i64);
    match (grown.next(), grown.next()) {
        (None, _) => Some(None),
        (Some(axis), None) if measured[axis] == 2 * alone[axis] as i64 => Some(Some(axis)),
        _ => None,
    }
}

fn unclear(tensor: &str) -> Error {
    let detail =
        format!("the part behind the layer reads '{tensor}', whose batch axis can't be told");
    Error::new(Kind::Impossible, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_axis_is_the_one_that_grew() {
        assert_eq!(batch_axis(&[2, 8, 4], &[1, 8, 4]), Some(Some(0)));
        assert_eq!(batch_axis(&[50, 2, 8], &[50, 1, 8]), Some(Some(1)));
        assert_eq!(batch_axis(&[18, 8], &[9, 8]), Some(Some(0)));
        assert_eq!(batch_axis(&[3, 8], &[3, 8]), Some(None));
        assert_eq!(batch_axis(&[2, 16], &[1, 8]), None);
        assert_eq!(batch_axis(&[3, 8], &[1, 8]), None);
    }
}
