//! Masked passes: the scores of many versions of one image, each seen through a mask.
//!
//! The masked inputs of a batch are made just before it runs and dropped before the next batch, so
//! memory is bounded by one batch, however many masks there are. Masks whose scores are cached
//! take no part in a batch.

use std::hash::Hash;

use ndarray::{
    Array2, Array4, ArrayView1, ArrayView2, ArrayViewMut2, ArrayViewMut3, Axis, Slice, Zip,
};

use super::cache::{CachedMask, MaskSetKey};
use super::cancellation::CancellationToken;
use super::model::Model;
use crate::error::Result;
use crate::model::manifest::Layout;

/// The scores of many passes, one row per pass.
#[derive(Clone, Debug)]
pub struct PassScores {
    /// `[K, classes]`.
    pub scores: Array2<f32>,
    /// `[K, classes]`.
    pub probabilities: Array2<f32>,
    /// The number of passes that ran; the others were cached.
    pub ran: usize,
}

impl PassScores {
    pub(super) fn zeros(count: usize, classes: usize) -> Self {
        let zeros = || Array2::zeros((count, classes));
        Self { scores: zeros(), probabilities: zeros(), ran: 0 }
    }

    /// The number of passes whose scores were cached.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.scores.nrows() - self.ran
    }

    fn set(&mut self, row: usize, scores: ArrayView1<'_, f32>, probabilities: ArrayView1<'_, f32>) {
        self.scores.row_mut(row).assign(&scores);
        self.probabilities.row_mut(row).assign(&probabilities);
    }

    fn truncate(&mut self, count: usize) {
        self.scores.slice_axis_inplace(Axis(0), Slice::from(..count));
        self.probabilities.slice_axis_inplace(Axis(0), Slice::from(..count));
    }
}

type WriteMask<'a> = Box<dyn FnMut(usize, ArrayViewMut2<'_, f32>) + 'a>;
type Progress<'a> = Box<dyn FnMut(usize, &PassScores) + 'a>;
type StopWhen<'a> = Box<dyn FnMut(usize, &PassScores) -> bool + 'a>;

/// Runs `image ∘ mask + backdrop ∘ (1 − mask)` for many masks, in batches.
///
/// ```ignore
/// let scores = MaskedPasses::new(model, &image, &cancellation)
///     .masks(channels, |channel, out| masks.write(channel, out))
///     .progress(|done, scores| println!("{done} of {channels}"))
///     .run()?;
/// ```
pub struct MaskedPasses<'a> {
    model: &'a Model,
    image: &'a Array4<f32>,
    cancellation: &'a CancellationToken,
    backdrop: Option<&'a Array4<f32>>,
    mask_set: Option<MaskSetKey>,
    count: usize,
    write_mask: WriteMask<'a>,
    progress: Progress<'a>,
    stop_when: StopWhen<'a>,
}

impl<'a> MaskedPasses<'a> {
    /// No passes yet, of an image `[1, C, H, W]` or `[1, H, W, C]`.
    #[must_use]
    pub fn new(
        model: &'a Model,
        image: &'a Array4<f32>,
        cancellation: &'a CancellationToken,
    ) -> Self {
        Self {
            model,
            image,
            cancellation,
            backdrop: None,
            mask_set: None,
            count: 0,
            write_mask: Box::new(|_, _| ()),
            progress: Box::new(|_, _| ()),
            stop_when: Box::new(|_, _| false),
        }
    }

    /// Uses `count` masks; `write_mask(k, out)` writes mask k, `[H, W]`, which multiplies every
    /// channel.
    #[must_use]
    pub fn masks(
        self,
        count: usize,
        write_mask: impl FnMut(usize, ArrayViewMut2<'_, f32>) + 'a,
    ) -> Self {
        Self { count, write_mask: Box::new(write_mask), ..self }
    }

    /// The image that shows where a mask is 0, of the same shape; without one, that is zeros.
    #[must_use]
    pub fn backdrop(self, backdrop: &'a Array4<f32>) -> Self {
        Self { backdrop: Some(backdrop), ..self }
    }

    /// Identifies the masks by the fields of `set`, so that masks whose scores are cached need not
    /// be written again. For one image, equal sets must have the same masks in the same order.
    #[must_use]
    pub fn mask_set(self, set: &(impl Hash + ?Sized)) -> Self {
        Self { mask_set: Some(MaskSetKey::new(set)), ..self }
    }

    /// Calls `progress(done, scores)` after each batch; rows of passes to come are zeros.
    #[must_use]
    pub fn progress(self, progress: impl FnMut(usize, &PassScores) + 'a) -> Self {
        Self { progress: Box::new(progress), ..self }
    }

    /// Stops after the first batch for which `stop_when(done, scores)` is true, called after
    /// `progress`. The result then has only the rows that are done.
    #[must_use]
    pub fn stop_when(self, stop_when: impl FnMut(usize, &PassScores) -> bool + 'a) -> Self {
        Self { stop_when: Box::new(stop_when), ..self }
    }

    /// Runs the passes.
    ///
    /// # Errors
    /// Those of [`Model::forward`].
    pub fn run(mut self) -> Result<PassScores> {
        let (model, count) = (self.model, self.count);
        let preprocess = model.preprocess();
        let mut mask = Array2::zeros((preprocess.height as usize, preprocess.width as usize));
        let mut scores = PassScores::zeros(count, model.classes());
        let cached_image = model.cached_image(self.image).map(|image| match self.backdrop {
            Some(backdrop) => image.with_backdrop(backdrop),
            None => image,
        });
        let cached_masks = match (&cached_image, &self.mask_set) {
            (Some(image), Some(set)) => image.mask_set(*set).filter(|masks| masks.len() == count),
            _ => None,
        };
        let mut keys = Vec::new();
        let mut next = 0;
        while next < count {
            let size = model.batch_now(self.cancellation).min(count - next);
            let (_, a, b, c) = self.image.dim();
            let mut batch = Array4::zeros((size, a, b, c));
            // The row of each image of the batch, and its key in the cache.
            let mut rows: Vec<(usize, Option<CachedMask<'_>>)> = Vec::with_capacity(size);
            while next < count && rows.len() < size {
                self.cancellation.check()?;
                let key = if let Some(masks) = &cached_masks {
                    Some(masks[next])
                } else {
                    (self.write_mask)(next, mask.view_mut());
                    cached_image.as_ref().map(|image| image.masked(mask.view()))
                };
                keys.extend(key);
                if let Some(cached) = key.and_then(CachedMask::scores) {
                    scores.set(next, cached.row(0), cached.row(1));
                } else {
                    if cached_masks.is_some() {
                        (self.write_mask)(next, mask.view_mut());
                    }
                    self.apply(mask.view(), batch.index_axis_mut(Axis(0), rows.len()));
                    rows.push((next, key));
                }
                next += 1;
            }
            if !rows.is_empty() {
                batch.slice_axis_inplace(Axis(0), Slice::from(..rows.len()));
                let output = model.forward_uncached(batch, self.cancellation)?;
                scores.ran += rows.len();
                let outputs = output.scores.outer_iter().zip(output.probabilities.outer_iter());
                for ((row, key), (logits, probabilities)) in rows.into_iter().zip(outputs) {
                    scores.set(row, logits, probabilities);
                    if let Some(key) = key {
                        key.store(logits, probabilities);
                    }
                }
            }
            (self.progress)(next, &scores);
            if (self.stop_when)(next, &scores) {
                break;
            }
        }
        if let (Some(image), Some(set), None) = (&cached_image, &self.mask_set, &cached_masks)
            && keys.len() == count
        {
            image.store_mask_set(*set, &keys);
        }
        scores.truncate(next);
        Ok(scores)
    }

    /// Writes the image seen through a mask `[H, W]` into one image of a batch.
    fn apply(&self, mask: ArrayView2<'_, f32>, mut out: ArrayViewMut3<'_, f32>) {
        out.assign(&self.image.index_axis(Axis(0), 0));
        // One factor per position, broadcast along the channels.
        let mask = match self.model.preprocess().layout {
            Layout::Nchw => mask.insert_axis(Axis(0)),
            Layout::Nhwc => mask.insert_axis(Axis(2)),
        };
        match self.backdrop {
            None => out *= &mask,
            Some(backdrop) => Zip::from(&mut out)
                .and(backdrop.index_axis(Axis(0), 0))
                .and_broadcast(mask)
                .for_each(|pixel, &behind, &mask| *pixel = *pixel * mask + behind * (1.0 - mask)),
        }
    }
}
