//! Masked passes: the model's answers to many versions of one image, each seen through a mask.
//!
//! The masked inputs of one batch are made just before they run and dropped
//! before the next batch's are made, so however many masks there are, one batch is
//! all that is ever held. A mask whose answer is known from before takes no part in a batch.

use std::ops::ControlFlow;

use ndarray::{Array2, Array4, ArrayViewMut2, Axis, Slice, Zip};

use super::cache::Masked;
use super::cancel::CancellationToken;
use super::model::Model;
use crate::error::Result;
use crate::model::manifest::Layout;

/// The answers to masked passes, a row a mask.
#[derive(Clone, Debug)]
pub struct PassScores {
    /// `[K, classes]`.
    pub scores: Array2<f32>,
    /// `[K, classes]`.
    pub probabilities: Array2<f32>,
    /// How many of them the model gave; the others were known.
    pub ran: usize,
}

/// What is seen through masks: images as the model takes them, `[1, C, H, W]` or `[1, H, W, C]`.
#[derive(Clone, Copy, Debug)]
pub struct MaskedInput<'a> {
    /// What shows where a mask is 1.
    pub image: &'a Array4<f32>,
    /// What shows where it is 0; numbers 0 when absent.
    pub backdrop: Option<&'a Array4<f32>>,
}

/// Runs `image ∘ mask + backdrop ∘ (1 − mask)` for `count` masks in batches.
///
/// `mask(k, out)` writes mask k, `[H, W]`, and every channel is multiplied by it. `set` names the
/// masks: with one image, one name must always mean the same masks in the same order, so that those
/// whose answers are known need not be made. `progress` hears after each batch how many masks are
/// done, and sees the answers so far: the rows of masks to come are zeros. Where it breaks off, the
/// answers end there.
///
/// # Errors
/// Those of [`Model::forward`] and of `progress`; the batch in progress is the last that runs.
pub fn masked_passes(
    model: &Model,
    MaskedInput { image: input, backdrop }: MaskedInput<'_>,
    set: &str,
    count: usize,
    mut mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
    cancel: &CancellationToken,
    progress: &dyn Fn(usize, &PassScores) -> Result<ControlFlow<()>>,
) -> Result<PassScores> {
    let (height, width) = (model.preprocess().height as usize, model.preprocess().width as usize);
    let mut answers = PassScores {
        scores: Array2::zeros((count, model.classes())),
        probabilities: Array2::zeros((count, model.classes())),
        ran: 0,
    };
    let known = model.known(input).map(|image| match backdrop {
        Some(backdrop) => image.before(backdrop),
        None => image,
    });
    let remembered =
        known.as_ref().and_then(|image| image.set(set)).filter(|masks| masks.len() == count);
    let mut seen = Vec::new();
    let mut factor = Array2::<f32>::zeros((height, width));
    let image = input.index_axis(Axis(0), 0);
    let mut next = 0;
    while next < count {
        let size = model.batch().min(count - next);
        let mut batch = Array4::zeros((size, input.shape()[1], input.shape()[2], input.shape()[3]));
        // Which mask each image of the batch is seen through.
        let mut rows = Vec::with_capacity(size);
        while next < count && rows.len() < size {
            cancel.check()?;
            let place = if let Some(masks) = &remembered {
                Some(masks[next])
            } else {
                mask(next, factor.view_mut());
                known.as_ref().map(|image| image.masked(factor.view()))
            };
            seen.extend(place);
            if let Some(answer) = place.and_then(Masked::answer) {
                answers.scores.row_mut(next).assign(&answer.row(0));
                answers.probabilities.row_mut(next).assign(&answer.row(1));
            } else {
                if remembered.is_some() {
                    mask(next, factor.view_mut());
                }
                let mut masked = batch.index_axis_mut(Axis(0), rows.len());
                masked.assign(&image);
                // One factor for each number of the image.
                let factor = match model.preprocess().layout {
                    Layout::Nchw => factor.view().insert_axis(Axis(0)),
                    Layout::Nhwc => factor.view().insert_axis(Axis(2)),
                };
                match backdrop {
                    None => masked *= &factor,
                    Some(backdrop) => Zip::from(&mut masked)
                        .and(backdrop.index_axis(Axis(0), 0))
                        .and_broadcast(factor)
                        .for_each(|seen, &behind, &factor| {
                            *seen = *seen * factor + behind * (1.0 - factor)
                        }),
                }
                rows.push((next, place));
            }
            next += 1;
        }
        if !rows.is_empty() {
            batch.slice_axis_inplace(Axis(0), Slice::from(..rows.len()));
            let outcome = model.pass(batch, cancel)?;
            answers.ran += rows.len();
            for (slot, (row, place)) in rows.into_iter().enumerate() {
                let (scores, probabilities) =
                    (outcome.scores.row(slot), outcome.probabilities.row(slot));
                answers.scores.row_mut(row).assign(&scores);
                answers.probabilities.row_mut(row).assign(&probabilities);
                if let Some(place) = place {
                    place.keep(scores, probabilities);
                }
            }
        }
        if progress(next, &answers)?.is_break() {
            break;
        }
    }
    if let (Some(image), None) = (&known, &remembered)
        && seen.len() == count
    {
        image.keep_set(set, &seen);
    }
    answers.scores.slice_axis_inplace(Axis(0), Slice::from(..next));
    answers.probabilities.slice_axis_inplace(Axis(0), Slice::from(..next));
    Ok(answers)
}
