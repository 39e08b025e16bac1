//! [`ConvChain`]: validates layers, caches the zero response, plans and starts runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::buffers::{BufferPool, lock};
use super::geometry::MapSize;
use super::kernels::ConvKernels;
use super::layer_task::RunContext;
use super::repeats::{LayerRepeats, ReadOutputs, repeats};
use super::run::{ChainRun, Outputs, ZeroResponse};
use super::sparsity::{LayerTraits, PositionMask, TilePlan, plan};
use super::types::{
    Batch, Cancelled, ChainOutput, ConvLayer, Doubts, FloatBytes, RunError, RunOptions,
};
use super::weights::PackedFilters;
use crate::block16::Block16;
use crate::error::InvalidArgument;
use crate::executor::Executor;
use crate::sizes::product;

/// The most zero responses that a chain keeps. One takes as much memory as every map of the chain
/// for one image, and images of a model with free sizes may have any size.
const MAX_ZERO_RESPONSES: usize = 4;

/// A chain of 3×3 convolutions, ready to run.
///
/// Any number of threads may run one chain at the same time. It keeps buffers between runs, so a
/// warm chain allocates next to nothing.
///
/// # Accuracy
/// Winograd's algorithm rounds differently from direct convolution: a result is within a few parts
/// in a million of the layer's largest value.
pub struct ConvChain {
    layers: Vec<ConvLayer>,
    kernels: ConvKernels,
    /// With the image's size; the latest one used is the last.
    zero_responses: Mutex<VecDeque<(MapSize, Arc<ZeroResponse>)>>,
    scratch: BufferPool,
    maps: BufferPool,
}

impl ConvChain {
    /// Makes a chain of layers, in the order in which they run.
    ///
    /// # Errors
    /// When there is no layer, or a layer's input channels are not its predecessor's output
    /// channels. Layers after the first need more than 8 input channels.
    pub fn new(layers: Vec<ConvLayer>) -> Result<Self, InvalidArgument> {
        if layers.is_empty() {
            return Err(InvalidArgument::new("a convolution chain needs at least one layer"));
        }
        for (index, pair) in layers.windows(2).enumerate() {
            let (outs, ins) = (pair[0].weights.out_channels, pair[1].weights.in_channels);
            if outs != ins || matches!(pair[1].weights.filters, PackedFilters::Direct(_)) {
                return Err(InvalidArgument::new(format!(
                    "layer {} of a convolution chain takes {ins} channels; layer {index} has \
                     {outs}, and layers after the first need more than 8",
                    index + 1
                )));
            }
        }
        Ok(Self {
            layers,
            kernels: ConvKernels::detect(),
            zero_responses: Mutex::default(),
            scratch: BufferPool::default(),
            maps: BufferPool::default(),
        })
    }

    /// The instruction set that this processor runs the chain with: `"avx512"`, `"avx2"`, `"neon"`
    /// or `"portable"`.
    #[must_use]
    pub fn instruction_set(&self) -> &'static str {
        self.kernels.name
    }

    /// The shape `[C, H, W]` of an output, for images of this height and width.
    ///
    /// # Errors
    /// When there is no such layer.
    pub fn output_shape(
        &self,
        output: ChainOutput,
        height: usize,
        width: usize,
    ) -> Result<[usize; 3], InvalidArgument> {
        let Some((layer, before)) =
            self.layers.get(..=output.layer).and_then(|layers| layers.split_last())
        else {
            return Err(InvalidArgument::new(format!(
                "a chain of {} convolutions has no layer {}",
                self.layers.len(),
                output.layer
            )));
        };
        let mut size = MapSize { height, width };
        for layer in before {
            size = layer.output_size(size);
        }
        if output.pooled {
            size = layer.output_size(size);
        }
        Ok([layer.weights.out_channels, size.height, size.width])
    }

    /// Runs the chain on a batch `[N, C, H, W]` and writes each requested output, `[N, C', H', W']`
    /// with the shape that [`ConvChain::output_shape`] gives. Returns what
    /// rounding left in doubt where near ties are settled ([`RunOptions::settle_near_ties`]).
    ///
    /// # Errors
    /// [`RunError::Cancelled`] when the cancel flag was set; checked between tasks, so within
    /// milliseconds. [`RunError::Invalid`] when a slice is not as long as its shape says, a map has
    /// more than 2³² − 1 positions, or there is no such layer; when there are filters to settle
    /// near ties, but not each layer's.
    pub fn run(
        &self,
        batch: Batch<'_>,
        outputs: &mut [(ChainOutput, &mut [f32])],
        executor: &dyn Executor,
        options: RunOptions<'_>,
    ) -> Result<Doubts, RunError> {
        let size = MapSize::new(batch.height, batch.width)?;
        let channels = self.layers[0].weights.in_channels;
        self.check(batch, size, outputs, options.settle_near_ties)?;
        if batch.data.is_empty() {
            // Without an image or a position, every output is empty, too.
            return Ok(Doubts::default());
        }
        let traits = self.layer_traits(size, outputs);
        let plans: Vec<Vec<TilePlan>> = (batch.data.chunks_exact((channels * size.area()).max(1)))
            .map(|image| {
                let positions = if options.skip_zero_regions {
                    PositionMask::non_zero(image, size)
                } else {
                    PositionMask::all(size)
                };
                plan(&traits, &positions)
            })
            .collect();
        let copies = plans.iter().flatten().any(|plan| !plan.copy.is_empty());
        let zero_response =
            if copies { Some(self.zero_response(size, executor, options.cancel)?) } else { None };
        let repeats = if options.equal_patches {
            self.repeats(&traits, batch, size, outputs)
        } else {
            Vec::new()
        };
        let run = ChainRun {
            layers: &self.layers,
            traits: &traits,
            plans: &plans,
            zero_response: zero_response.as_deref(),
            repeats: &repeats,
            filters: options.settle_near_ties,
            settled: AtomicUsize::new(0),
            near_ties: AtomicUsize::new(0),
            open_gates: AtomicUsize::new(0),
            maps: &self.maps,
            context: self.context(options.cancel),
            executor,
        };
        run.run(batch, outputs)?;
        Ok(Doubts {
            settled: run.settled.into_inner(),
            near_ties: run.near_ties.into_inner(),
            open_gates: run.open_gates.into_inner(),
        })
    }

    /// Checks every length that the run relies on.
    fn check(
        &self,
        batch: Batch<'_>,
        size: MapSize,
        outputs: &Outputs<'_>,
        filters: Option<&[&[FloatBytes]]>,
    ) -> Result<(), InvalidArgument> {
        let is_len = |what: &str, len: usize, sizes: &[usize]| match product(sizes)? {
            expected if expected == len => Ok(()),
            _ => Err(InvalidArgument::new(format!("{what} has {len} values, not {sizes:?}"))),
        };
        let Batch { data, images, height, width } = batch;
        is_len(
            "the input",
            data.len(),
            &[images, self.layers[0].weights.in_channels, height, width],
        )?;
        for (output, to) in outputs.iter() {
            let [channels, height, width] = self.output_shape(*output, height, width)?;
            is_len("an output", to.len(), &[images, channels, height, width])?;
        }
        // Buffers of whole blocks, which may be larger than both input and outputs.
        for ConvLayer { weights, .. } in &self.layers {
            let blocks = weights.in_blocks().max(weights.out_blocks());
            product(&[images, blocks, size.area(), size_of::<Block16>()])?;
        }
        let Some(filters) = filters else { return Ok(()) };
        if filters.len() != self.layers.len() {
            return Err(InvalidArgument::new(format!(
                "a chain of {} convolutions was given the filters of {}",
                self.layers.len(),
                filters.len()
            )));
        }
        for (filters, ConvLayer { weights, .. }) in filters.iter().zip(&self.layers) {
            is_len("a filter", filters.len(), &[weights.out_channels, weights.in_channels, 9])?;
        }
        Ok(())
    }

    /// Every layer as planning needs to know it. A layer whose output is requested before its
    /// pooling stores it unpooled and pools afterwards.
    fn layer_traits(&self, size: MapSize, outputs: &Outputs<'_>) -> Vec<LayerTraits> {
        let mut size = size;
        let mut traits = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let mut requests = outputs.iter().filter(|(output, _)| output.layer == index);
            let is_last = index + 1 == self.layers.len();
            let is_output_before_pooling =
                requests.clone().any(|(output, _)| layer.max_pool && !output.pooled);
            // Planning never drops copied tiles of the last layer, so its output is always
            // complete.
            let is_output = is_output_before_pooling || (!is_last && requests.next().is_some());
            let max_pool = layer.max_pool;
            traits.push(LayerTraits { size, max_pool, is_output, is_output_before_pooling });
            size = layer.output_size(size);
        }
        traits
    }

    /// For each image, for each layer, the positions of requested outputs that repeat earlier ones.
    fn repeats(
        &self,
        traits: &[LayerTraits],
        batch: Batch<'_>,
        size: MapSize,
        outputs: &Outputs<'_>,
    ) -> Vec<Vec<LayerRepeats>> {
        let layers: Vec<_> = (traits.iter().enumerate())
            .map(|(index, traits)| {
                let is_read = |pooled: bool| {
                    outputs.iter().any(|(output, _)| {
                        output.layer == index && (output.pooled && traits.max_pool) == pooled
                    })
                };
                (*traits, ReadOutputs { unpooled: is_read(false), pooled: is_read(true) })
            })
            .collect();
        let len = self.layers[0].weights.in_channels * size.area();
        let images = batch.data.chunks_exact(len.max(1));
        images.map(|image| repeats(&layers, image, size)).collect()
    }

    /// The response to an all-zero image of this size, computed on first use, and kept for the
    /// sizes used last.
    fn zero_response(
        &self,
        size: MapSize,
        executor: &dyn Executor,
        cancel: &AtomicBool,
    ) -> Result<Arc<ZeroResponse>, Cancelled> {
        if let Some(response) = self.cached_zero_response(size) {
            return Ok(response);
        }
        let zeros = vec![0.0; self.layers[0].weights.in_channels * size.area()];
        let batch = Batch { data: &zeros, images: 1, height: size.height, width: size.width };
        let traits = self.layer_traits(size, &[]);
        let plans = [plan(&traits, &PositionMask::all(size))];
        let run = ChainRun {
            layers: &self.layers,
            traits: &traits,
            plans: &plans,
            zero_response: None,
            repeats: &[],
            filters: None,
            settled: AtomicUsize::new(0),
            near_ties: AtomicUsize::new(0),
            open_gates: AtomicUsize::new(0),
            maps: &self.maps,
            context: self.context(cancel),
            executor,
        };
        let response = Arc::new(run.run_and_store_all(batch)?);
        // Another thread may have computed the same one meanwhile.
        if let Some(response) = self.cached_zero_response(size) {
            return Ok(response);
        }
        let mut cached = lock(&self.zero_responses);
        if cached.len() == MAX_ZERO_RESPONSES {
            cached.pop_front();
        }
        cached.push_back((size, Arc::clone(&response)));
        Ok(response)
    }

    /// The zero response of this size, if there is one.
    fn cached_zero_response(&self, size: MapSize) -> Option<Arc<ZeroResponse>> {
        let mut cached = lock(&self.zero_responses);
        let at = cached.iter().position(|(known, _)| *known == size)?;
        let entry = cached.remove(at)?;
        let response = Arc::clone(&entry.1);
        cached.push_back(entry);
        Some(response)
    }

    fn context<'a>(&'a self, cancel: &'a AtomicBool) -> RunContext<'a> {
        RunContext { kernels: self.kernels, cancel, scratch: &self.scratch }
    }
}

#[cfg(test)]
mod tests;
