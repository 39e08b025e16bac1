//! [`ConvChain`]: validates layers, caches the zero response, plans and starts runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::buffers::{BufferPool, lock};
use super::geometry::MapSize;
use super::kernels::ConvKernels;
use super::layer_task::RunContext;
use super::repeats::{LayerRepeats, ReadOutputs, repeats};
use super::run::{ChainRun, Outputs, ZeroResponse};
use super::sparsity::{LayerTraits, PositionMask, TilePlan, plan};
use super::types::{Batch, Cancelled, ChainOutput, ConvLayer, RunOptions};
use super::weights::PackedFilters;
use crate::error::InvalidArgument;
use crate::executor::Executor;

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
    /// By image height and width.
    zero_responses: Mutex<HashMap<(usize, usize), Arc<ZeroResponse>>>,
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
    /// # Panics
    /// When there is no such layer.
    #[must_use]
    pub fn output_shape(&self, output: ChainOutput, height: usize, width: usize) -> [usize; 3] {
        let mut size = MapSize { height, width };
        for layer in &self.layers[..output.layer] {
            size = layer.output_size(size);
        }
        if output.pooled {
            size = self.layers[output.layer].output_size(size);
        }
        [self.layers[output.layer].weights.out_channels, size.height, size.width]
    }

    /// Runs the chain on a batch `[N, C, H, W]` and writes each requested output, `[N, C', H', W']`
    /// with the shape that [`ConvChain::output_shape`] gives. Returns the number of values that
    /// were computed again because of near ties ([`RunOptions::settle_near_ties`]).
    ///
    /// # Errors
    /// [`Cancelled`] when the cancel flag was set; checked between tasks, so within milliseconds.
    ///
    /// # Panics
    /// When a slice is not as long as its shape says, or there is no such layer; when there are
    /// filters to settle near ties, but not each layer's.
    pub fn run(
        &self,
        batch: Batch<'_>,
        outputs: &mut [(ChainOutput, &mut [f32])],
        executor: &dyn Executor,
        options: RunOptions<'_>,
    ) -> Result<usize, Cancelled> {
        let size = MapSize { height: batch.height, width: batch.width };
        let channels = self.layers[0].weights.in_channels;
        assert_eq!(batch.data.len(), batch.images * channels * size.area(), "the input's length");
        for (output, to) in outputs.iter() {
            let shape = self.output_shape(*output, batch.height, batch.width);
            let len = batch.images * shape.iter().product::<usize>();
            assert_eq!(to.len(), len, "an output's length");
        }
        if let Some(filters) = options.settle_near_ties {
            assert_eq!(filters.len(), self.layers.len(), "one slice of filters for each layer");
            for (filters, layer) in filters.iter().zip(&self.layers) {
                let len = layer.weights.out_channels * layer.weights.in_channels * 9;
                assert_eq!(filters.len(), len, "the length of a layer's filters");
            }
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
            maps: &self.maps,
            context: self.context(options.cancel),
            executor,
        };
        run.run(batch, outputs)?;
        Ok(run.settled.into_inner())
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

    /// The response to an all-zero image of this size, computed on first use.
    fn zero_response(
        &self,
        size: MapSize,
        executor: &dyn Executor,
        cancel: &AtomicBool,
    ) -> Result<Arc<ZeroResponse>, Cancelled> {
        let key = (size.height, size.width);
        if let Some(response) = lock(&self.zero_responses).get(&key) {
            return Ok(Arc::clone(response));
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
            maps: &self.maps,
            context: self.context(cancel),
            executor,
        };
        let response = Arc::new(run.run_and_store_all(batch)?);
        lock(&self.zero_responses).insert(key, Arc::clone(&response));
        Ok(response)
    }

    fn context<'a>(&'a self, cancel: &'a AtomicBool) -> RunContext<'a> {
        RunContext { kernels: self.kernels, cancel, scratch: &self.scratch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv_chain::weights::ConvWeights;
    use crate::executor::Serial;

    const SIZE: MapSize = MapSize { height: 24, width: 40 };

    fn chain(kernels: ConvKernels) -> ConvChain {
        let value = |index: usize| ((index * 37 % 101) as f32 / 101.0 - 0.5) / 6.0;
        let layer = |outs: usize, ins: usize, max_pool: bool| {
            let filters: Vec<f32> = (0..outs * ins * 9).map(value).collect();
            let bias: Vec<f32> = (0..outs).map(|index| 0.1 + value(index)).collect();
            let weights = ConvWeights::new(&filters, Some(&bias), outs, ins).unwrap();
            ConvLayer { weights: Arc::new(weights), relu: true, max_pool }
        };
        let layers = vec![layer(16, 3, false), layer(32, 16, true), layer(16, 32, false)];
        ConvChain { kernels, ..ConvChain::new(layers).unwrap() }
    }

    /// An image that is non-zero only in columns 10 to 19.
    fn image() -> Vec<f32> {
        let value = |index: usize| {
            if (10..20).contains(&(index % SIZE.width)) { 1.0 + (index % 7) as f32 } else { 0.0 }
        };
        (0..3 * SIZE.area()).map(value).collect()
    }

    /// The chain's last output, planned as if these were the image's non-zero positions.
    fn run(chain: &ConvChain, positions: &PositionMask) -> Vec<f32> {
        let (data, cancel) = (image(), AtomicBool::new(false));
        let batch = Batch { data: &data, images: 1, height: SIZE.height, width: SIZE.width };
        let last = ChainOutput { layer: 2, pooled: false };
        let shape = chain.output_shape(last, SIZE.height, SIZE.width);
        let mut output = vec![f32::NAN; shape.iter().product()];
        let mut outputs = [(last, output.as_mut_slice())];
        let traits = chain.layer_traits(SIZE, &outputs);
        let plans = [plan(&traits, positions)];
        let zero_response = chain.zero_response(SIZE, &Serial, &cancel).unwrap();
        let run = ChainRun {
            layers: &chain.layers,
            traits: &traits,
            plans: &plans,
            zero_response: Some(&zero_response),
            repeats: &[],
            filters: None,
            settled: AtomicUsize::new(0),
            maps: &chain.maps,
            context: chain.context(&cancel),
            executor: &Serial,
        };
        run.run(batch, &mut outputs).unwrap();
        output
    }

    fn max_difference(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
    }

    #[test]
    fn a_plan_that_misses_part_of_the_image_changes_the_output() {
        let chain = chain(ConvKernels::detect());
        let whole = run(&chain, &PositionMask::all(SIZE));
        let planned = run(&chain, &PositionMask::non_zero(&image(), SIZE));
        assert!(max_difference(&whole, &planned) < 1e-5);
        // The control that must fail: a plan that takes the image's last columns for zeros.
        let truncated: Vec<f32> = image()
            .iter()
            .enumerate()
            .map(|(i, &v)| if i % SIZE.width >= 14 { 0.0 } else { v })
            .collect();
        let planned = run(&chain, &PositionMask::non_zero(&truncated, SIZE));
        assert!(max_difference(&whole, &planned) > 1e-2);
    }

    #[test]
    fn all_instruction_sets_agree() {
        let positions = PositionMask::non_zero(&image(), SIZE);
        let portable = run(&chain(ConvKernels::available()[0]), &positions);
        for kernels in ConvKernels::available() {
            let name = kernels.name;
            let output = run(&chain(kernels), &positions);
            assert!(max_difference(&portable, &output) < 1e-5, "{name}");
        }
    }

    /// An image that repeats every five rows and seven columns, neither of which divides a tile.
    #[test]
    fn equal_patches_have_bitwise_equal_outputs_at_every_position_of_a_tile() {
        let position = |index: usize| (index / SIZE.width % SIZE.height, index % SIZE.width);
        let data: Vec<f32> = (0..3 * SIZE.area())
            .map(|index| {
                let (row, column) = position(index);
                ((row % 5 * 7 + column % 7) * (index / SIZE.area() + 3)) as f32 * 0.37
            })
            .collect();
        // Two convolutions and, after a pooling, a third: how far an output reads into the image.
        let read = [1, 2, 2, 4];
        for kernels in ConvKernels::available() {
            let chain = chain(kernels);
            let last_is_pooled = [(0, false), (1, false), (1, true), (2, false)];
            let requests = last_is_pooled.map(|(layer, pooled)| ChainOutput { layer, pooled });
            let shapes =
                requests.map(|request| chain.output_shape(request, SIZE.height, SIZE.width));
            let mut buffers = shapes.map(|shape| vec![f32::NAN; shape.iter().product()]);
            let cancel = AtomicBool::new(false);
            for equal_patches in [true, false] {
                let mut slices = buffers.iter_mut().map(Vec::as_mut_slice);
                let mut outputs =
                    requests.map(|request| (request, slices.next().unwrap_or_default()));
                let batch =
                    Batch { data: &data, images: 1, height: SIZE.height, width: SIZE.width };
                let options = RunOptions {
                    cancel: &cancel,
                    skip_zero_regions: true,
                    equal_patches,
                    settle_near_ties: None,
                };
                chain.run(batch, &mut outputs, &Serial, options).unwrap();
                let differing = (requests.iter().zip(&outputs).zip(read))
                    .map(|((request, (_, values)), margin)| {
                        let is_small = request.layer == 2 || request.pooled;
                        // Half a period of an odd length is none: pooled maps repeat every period.
                        let (steps, scale) = ([5, 7], if is_small { 2 } else { 1 });
                        differences(values, SIZE, scale, steps, margin)
                    })
                    .sum::<usize>();
                assert_eq!(differing == 0, equal_patches, "{}: {differing}", kernels.name);
            }
        }
    }

    /// How many values of a map `[C, h, w]`, `scale` times smaller than the image and `margin`
    /// positions of it away from the border, differ from the value a period below or to the right.
    fn differences(
        values: &[f32],
        image: MapSize,
        scale: usize,
        steps: [usize; 2],
        margin: usize,
    ) -> usize {
        let (height, width) = (image.height / scale, image.width / scale);
        let margin = margin.div_ceil(scale);
        let inside = |at: usize, size: usize| (margin..size - margin).contains(&at);
        let mut differing = 0;
        for (index, &value) in values.iter().enumerate() {
            let (row, column) = (index / width % height, index % width);
            if !inside(row, height) || !inside(column, width) {
                continue;
            }
            if inside(row + steps[0], height) {
                let below = values[index + steps[0] * width];
                differing += usize::from(value.to_bits() != below.to_bits());
            }
            if inside(column + steps[1], width) {
                let right = values[index + steps[1]];
                differing += usize::from(value.to_bits() != right.to_bits());
            }
        }
        differing
    }

    /// The root mean square of the errors of a layer's outputs, against sums in 64 bits: of the
    /// kernels, and of one running sum in 32 bits with the same order of terms in all outputs.
    fn errors(kernels: ConvKernels, channels: usize) -> [f64; 2] {
        let size = MapSize { height: 9, width: 11 };
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        // After a ReLU, as in a network: half of the values are zero and none is negative.
        let data: Vec<f32> = (0..channels * size.area()).map(|_| noise().max(0.0)).collect();
        let filters: Vec<f32> = (0..16 * channels * 9).map(|_| noise()).collect();
        let weights = ConvWeights::new(&filters, None, 16, channels).unwrap();
        let layer = ConvLayer { weights: Arc::new(weights), relu: false, max_pool: false };
        let chain = ConvChain { kernels, ..ConvChain::new(vec![layer]).unwrap() };
        let mut output = vec![f32::NAN; 16 * size.area()];
        let cancel = AtomicBool::new(false);
        let options = RunOptions {
            cancel: &cancel,
            skip_zero_regions: false,
            equal_patches: false,
            settle_near_ties: None,
        };
        let batch = Batch { data: &data, images: 1, height: size.height, width: size.width };
        let request = ChainOutput { layer: 0, pooled: false };
        chain.run(batch, &mut [(request, &mut output)], &Serial, options).unwrap();
        let mut squares = [0.0; 2];
        for (index, &value) in output.iter().enumerate() {
            let (out, position) = (index / size.area(), index % size.area());
            let (row, column) = (position / size.width, position % size.width);
            let (mut exact, mut running) = (0.0_f64, 0.0_f32);
            for term in 0..channels * 9 {
                let (channel, y, x) = (term / 9, row + term % 9 / 3, column + term % 3);
                if (1..=size.height).contains(&y) && (1..=size.width).contains(&x) {
                    let input = data[channel * size.area() + (y - 1) * size.width + x - 1];
                    let weight = filters[out * channels * 9 + term];
                    exact += f64::from(input) * f64::from(weight);
                    running = input.mul_add(weight, running);
                }
            }
            squares[0] += (f64::from(value) - exact).powi(2);
            squares[1] += (f64::from(running) - exact).powi(2);
        }
        squares.map(|sum| (sum / output.len() as f64).sqrt())
    }

    #[test]
    fn winograd_is_more_exact_than_a_running_sum_over_the_terms_of_a_direct_convolution() {
        for kernels in ConvKernels::available() {
            for channels in [256, 512] {
                let [ours, direct] = errors(kernels, channels);
                let ratio = ours / direct;
                assert!(ratio < 0.95, "{}, {channels} channels: {ratio}", kernels.name);
            }
        }
    }
}
