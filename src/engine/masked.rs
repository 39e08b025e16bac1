//! Masked passes: the model's scores for many versions of one image, each seen through a mask.
//!
//! The masked inputs of a batch are computed right before it runs and dropped before those of the
//! next batch, so memory holds one batch however many masks there are. Masks whose scores are
//! cached are in no batch.

use std::hash::Hash;
use std::ops::ControlFlow;

use ndarray::{Array2, Array4, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3};
use ndarray::{Axis, Slice, Zip};

use super::cache::{CachedMask, MaskSetKey};
use super::cancellation::CancellationToken;
use super::model::Model;
use crate::error::Result;
use crate::model::manifest::Layout;

/// The scores of several passes, one row each.
#[derive(Clone, Debug)]
pub struct PassScores {
    /// `[K, classes]`.
    pub scores: Array2<f32>,
    /// `[K, classes]`.
    pub probabilities: Array2<f32>,
    /// How many passes the model ran; the scores of the others were cached.
    pub ran: usize,
}

impl PassScores {
    /// Zeros for `count` passes that are still to run.
    pub(super) fn zeros(count: usize, classes: usize) -> Self {
        let zeros = || Array2::zeros((count, classes));
        Self { scores: zeros(), probabilities: zeros(), ran: 0 }
    }
}

/// An image that is seen through masks, as the model takes it: `[1, C, H, W]` or `[1, H, W, C]`.
#[derive(Clone, Copy, Debug)]
pub struct MaskedInput<'a> {
    /// What shows where a mask is 1.
    pub image: &'a Array4<f32>,
    /// What shows where a mask is 0; zeros when absent.
    pub backdrop: Option<&'a Array4<f32>>,
}

impl MaskedInput<'_> {
    /// Writes `image ∘ mask + backdrop ∘ (1 − mask)`.
    fn write(&self, mask: ArrayView2<'_, f32>, layout: Layout, mut out: ArrayViewMut3<'_, f32>) {
        out.assign(&self.image.index_axis(Axis(0), 0));
        let mask: ArrayView3<'_, f32> = match layout {
            Layout::Nchw => mask.insert_axis(Axis(0)),
            Layout::Nhwc => mask.insert_axis(Axis(2)),
        };
        match self.backdrop {
            None => out *= &mask,
            Some(backdrop) => Zip::from(&mut out)
                .and(backdrop.index_axis(Axis(0), 0))
                .and_broadcast(mask)
                .for_each(|value, &backdrop, &mask| {
                    *value = *value * mask + backdrop * (1.0 - mask);
                }),
        }
    }
}

/// Runs `image ∘ mask + backdrop ∘ (1 − mask)` for `count` masks in batches.
///
/// `mask(k, out)` writes mask k, `[H, W]`, which multiplies every channel. `set` identifies the
/// masks: for one image, equal sets must have the same masks in the same order, so that cached ones
/// need not be computed. `progress` is called after each batch with the number of finished masks
/// and the scores so far, which are zeros for the others. When it breaks, the result ends there.
///
/// # Errors
/// Those of [`Model::forward`] and of `progress`; the batch in progress is the last that runs.
pub fn masked_passes(
    model: &Model,
    input: MaskedInput<'_>,
    set: &(impl Hash + ?Sized),
    count: usize,
    mut mask: impl FnMut(usize, ArrayViewMut2<'_, f32>),
    cancel: &CancellationToken,
    progress: &dyn Fn(usize, &PassScores) -> Result<ControlFlow<()>>,
) -> Result<PassScores> {
    let (preprocess, set) = (model.preprocess(), MaskSetKey::new(set));
    let mut result = PassScores::zeros(count, model.classes());
    let cached_image = model.cached_image(input.image).map(|image| match input.backdrop {
        Some(backdrop) => image.with_backdrop(backdrop),
        None => image,
    });
    let cached_set = (cached_image.as_ref())
        .and_then(|image| image.mask_set(set))
        .filter(|masks| masks.len() == count);
    let mut masks_so_far = Vec::new();
    let mut values = Array2::zeros((preprocess.height as usize, preprocess.width as usize));
    let [_, first, second, third] = [0, 1, 2, 3].map(|axis| input.image.shape()[axis]);
    let mut next = 0;
    while next < count {
        let size = model.batch().min(count - next);
        let mut batch = Array4::zeros((size, first, second, third));
        // The mask of each image of the batch.
        let mut rows: Vec<(usize, Option<CachedMask<'_>>)> = Vec::with_capacity(size);
        while next < count && rows.len() < size {
            cancel.check()?;
            let cached = if let Some(masks) = &cached_set {
                Some(masks[next])
            } else {
                mask(next, values.view_mut());
                cached_image.as_ref().map(|image| image.masked(values.view()))
            };
            masks_so_far.extend(cached);
            if let Some(scores) = cached.and_then(CachedMask::scores) {
                result.scores.row_mut(next).assign(&scores.row(0));
                result.probabilities.row_mut(next).assign(&scores.row(1));
            } else {
                if cached_set.is_some() {
                    mask(next, values.view_mut());
                }
                let slot = batch.index_axis_mut(Axis(0), rows.len());
                input.write(values.view(), preprocess.layout, slot);
                rows.push((next, cached));
            }
            next += 1;
        }
        if !rows.is_empty() {
            batch.slice_axis_inplace(Axis(0), Slice::from(..rows.len()));
            let output = model.forward_uncached(batch, cancel)?;
            result.ran += rows.len();
            for (slot, (row, cached)) in rows.into_iter().enumerate() {
                let (scores, probabilities) =
                    (output.scores.row(slot), output.probabilities.row(slot));
                result.scores.row_mut(row).assign(&scores);
                result.probabilities.row_mut(row).assign(&probabilities);
                if let Some(cached) = cached {
                    cached.store(scores, probabilities);
                }
            }
        }
        if progress(next, &result)?.is_break() {
            break;
        }
    }
    if let (Some(image), None) = (&cached_image, &cached_set)
        && masks_so_far.len() == count
    {
        image.store_mask_set(set, &masks_so_far);
    }
    result.scores.slice_axis_inplace(Axis(0), Slice::from(..next));
    result.probabilities.slice_axis_inplace(Axis(0), Slice::from(..next));
    Ok(result)
}
