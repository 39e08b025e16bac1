//! Masked passes: the model's answers to many versions of one image, each seen through a mask.
//!
//! The masked inputs of one batch are made just before they run and dropped
//! before the next batch's are made, so however many masks there are, one batch is
//! all that is ever held.

use ndarray::{Array2, Array4, ArrayViewMut2, Axis, s};

use super::cancel::Cancel;
use super::model::Model;
use crate::error::Result;
use crate::model::manifest::Layout;

/// The answers to masked passes, a row a mask.
#[derive(Clone, Debug)]
pub struct Answers {
    /// `[K, classes]`.
    pub scores: Array2<f32>,
    /// `[K, classes]`.
    pub probabilities: Array2<f32>,
}

/// Runs `input ∘ mask` for `count` masks in batches.
///
/// `input` is one image as the model takes it; `mask(k, out)` writes mask k, `[H, W]`, and every channel
/// is multiplied by it. `progress` hears after each batch how many masks are done, and sees the
/// answers so far: the rows of masks to come are zeros.
///
/// # Errors
/// Those of [`Model::forward`] and of `progress`; the batch in progress is the last that runs.
pub fn masked_passes(
    model: &Model,
    input: &Array4<f32>,
    count: usize,
    mut mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
    cancel: &Cancel,
    progress: &dyn Fn(usize, &Answers) -> Result<()>,
) -> Result<Answers> {
    let (height, width) = (model.preprocess().height as usize, model.preprocess().width as usize);
    let mut answers = Answers {
        scores: Array2::zeros((count, model.classes())),
        probabilities: Array2::zeros((count, model.classes())),
    };
    let mut factor = Array2::<f32>::zeros((height, width));
    let image = input.index_axis(Axis(0), 0);
    let mut done = 0;
    while done < count {
        cancel.check()?;
        let size = model.batch().min(count - done);
        let mut batch = Array4::zeros((size, input.shape()[1], input.shape()[2], input.shape()[3]));
        for (slot, mut masked) in batch.outer_iter_mut().enumerate() {
            mask(done + slot, factor.view_mut());
            masked.assign(&image);
            match model.preprocess().layout {
                Layout::Nchw => masked.outer_iter_mut().for_each(|mut channel| channel *= &factor),
                Layout::Nhwc => masked *= &factor.view().insert_axis(Axis(2)),
            }
        }
        let outcome = model.forward(batch, cancel)?;
        answers.scores.slice_mut(s![done..done + size, ..]).assign(&outcome.scores);
        answers.probabilities.slice_mut(s![done..done + size, ..]).assign(&outcome.probabilities);
        done += size;
        progress(done, &answers)?;
    }
    Ok(answers)
}
