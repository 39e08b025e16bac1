//! The passes of a model: from the cache, in the session of its worker, or in one of those that run
//! side by side.

use std::time::{Duration, Instant};

use ndarray::Array4;

use super::Model;
use crate::engine::cache::CachedImage;
use crate::engine::cancellation::CancellationToken;
use crate::engine::compiler::ProgramKey;
use crate::engine::session::{PassOutput, PassRequest, RunInputs};
use crate::engine::turns::{JobClass, Share};
use crate::error::{Error, Kind, Result};
use crate::graph::layers::Layer;

impl Model {
    /// How many images the next pass of a request takes: fewer than [`Model::batch`] for a long
    /// request while short ones are about, and for a large model where memory is short.
    #[must_use]
    pub fn batch_now(&self, cancel: &CancellationToken) -> usize {
        let fitting = self.turns.batch_bytes() / self.pass_bytes().max(1);
        let most = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, self.batch);
        if cancel.class() == JobClass::Short || !self.turns.is_contended() {
            return most;
        }
        let pass_ns = self.pass_time().as_nanos().max(1);
        let images = self.turns.contended_batch().as_nanos() / pass_ns;
        usize::try_from(images).unwrap_or(usize::MAX).clamp(1, most)
    }

    /// How long a pass of one image takes with all threads, from the recent ones.
    #[must_use]
    pub fn pass_time(&self) -> Duration {
        self.pass_time.get()
    }

    /// How many bytes one image of a pass takes at most while it runs, by estimate: the largest
    /// activation, as input and output of an operator and as its workspace.
    #[must_use]
    pub fn pass_bytes(&self) -> u64 {
        let bytes = |layer: &Layer| layer.shape.iter().map(|&size| size as u64).product::<u64>();
        let [channels, height, width] = self.preprocess.shape().map(|size| size as u64);
        let input = channels * height * width;
        3 * 4 * self.layers().iter().map(bytes).max().unwrap_or(0).max(input)
    }

    /// Runs a pass of `layer`'s program, or takes its output from the cache.
    ///
    /// # Errors
    /// [`Kind::NotANumber`], those of [`CancellationToken::check`], or [`Kind::Internal`].
    pub fn run(
        &self,
        layer: &Layer,
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        // Most tails read the activation alone; then the layer's usual program will do.
        if pass.side_inputs
            && self.tail_side_inputs(layer).is_ok_and(|side_inputs| !side_inputs.is_empty())
        {
            // Side inputs are not cached.
            return self.run_program(
                Some(ProgramKey::Head(layer.tensor.clone())),
                pass.into(),
                cancel,
            );
        }
        single(self.run_all(&[layer], pass, cancel)?)
    }

    /// Runs a pass of the program that several layers share, or takes its outputs from the cache:
    /// one forward and one backward pass give an output for each layer. The outputs have no side
    /// inputs.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run_all(
        &self,
        layers: &[&Layer],
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        cancel.check()?;
        let image = |layer: &&Layer| self.cache.image(&self.cache_key, &layer.tensor, &pass.input);
        let images: Option<Vec<_>> = layers.iter().map(image).collect();
        let Some(images) = images else { return self.run_layers(layers, pass, cancel) };
        let cached: Option<Vec<_>> = images.iter().map(|image| image.output(&pass)).collect();
        if let Some(outputs) = cached {
            return Ok(outputs);
        }
        let outputs = self.run_layers(layers, pass.clone(), cancel)?;
        for (image, output) in images.iter().zip(&outputs) {
            image.store(&pass, output);
        }
        Ok(outputs)
    }

    /// Runs a pass for some layers. The order in which they are given does not change the session.
    fn run_layers(
        &self,
        layers: &[&Layer],
        pass: PassRequest,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&index| &layers[index].tensor);
        let tensors = order.iter().map(|&index| layers[index].tensor.clone()).collect();
        let outputs = self.run_worker(Some(ProgramKey::Whole(tensors)), pass.into(), cancel)?;
        let mut outputs: Vec<(usize, PassOutput)> = order.into_iter().zip(outputs).collect();
        outputs.sort_by_key(|(index, _)| *index);
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }

    /// Runs a plain forward pass: the default layer's program without gradients.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn forward(&self, input: Array4<f32>, cancel: &CancellationToken) -> Result<PassOutput> {
        self.run(self.default_layer(), PassRequest::new(input), cancel)
    }

    /// Runs a plain forward pass in the default layer's session, bypassing the cache.
    pub(in crate::engine) fn forward_uncached(
        &self,
        input: Array4<f32>,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        self.run_program(None, PassRequest::new(input).into(), cancel)
    }

    /// Runs a program with one layer; without a key, the default layer's program.
    pub(in crate::engine) fn run_program(
        &self,
        key: Option<ProgramKey>,
        inputs: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<PassOutput> {
        single(self.run_worker(key, inputs, cancel)?)
    }

    fn run_worker(
        &self,
        key: Option<ProgramKey>,
        inputs: RunInputs,
        cancel: &CancellationToken,
    ) -> Result<Vec<PassOutput>> {
        let images = inputs.images();
        let is_tail = matches!(key, Some(ProgramKey::Tail(_)));
        let default_layer = &self.default_layer().tensor;
        // A batch keeps all threads busy.
        let takes_part = images == 1 && self.side_sessions.serves(key.as_ref(), default_layer);
        let turn = self.turns.take(cancel, takes_part)?;
        let began = Instant::now();
        let outputs = match turn.share() {
            Share::All => self.worker.run(key, inputs, cancel)?,
            Share::Part(part) => self.side_sessions.run(part, &inputs, cancel)?,
        };
        let (elapsed, share) = (began.elapsed(), turn.share());
        drop(turn);
        // Batches of long requests, which these times serve to choose, have all threads.
        if share == Share::All {
            if !is_tail {
                self.pass_time.add(elapsed / images);
            }
            if cancel.class() == JobClass::Short {
                self.turns.note_short_pass(elapsed);
            }
        }
        // Weights that changed while the pass read them have given nonsense.
        self.compiler.check_files()?;
        outputs.into_iter().map(|output| self.checked_finite(output)).collect()
    }

    /// The cache entry of an image's plain forward pass.
    pub(in crate::engine) fn cached_image(&self, input: &Array4<f32>) -> Option<CachedImage<'_>> {
        self.cache.image(&self.cache_key, &self.default_layer().tensor, input)
    }

    fn checked_finite(&self, output: PassOutput) -> Result<PassOutput> {
        // A model may rule classes out by a logit of −∞, which is a probability of 0.
        let is_score = |value: &f32| value.is_finite() || *value == f32::NEG_INFINITY;
        let is_possible =
            output.scores.outer_iter().all(|row| row.iter().any(|value| value.is_finite()));
        if is_possible
            && output.scores.iter().all(is_score)
            && output.probabilities.iter().all(|value| value.is_finite())
        {
            return Ok(output);
        }
        let detail = format!(
            "model '{}' gives NaN or infinity for this image, so there is nothing to explain",
            self.id()
        );
        Err(Error::new(Kind::NotANumber, detail))
    }
}

/// The output of a program with one layer.
fn single(outputs: Vec<PassOutput>) -> Result<PassOutput> {
    let first = outputs.into_iter().next();
    first.ok_or_else(|| Error::internal("running the model", "a program without layers"))
}
