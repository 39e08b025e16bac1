//! Direct convolution in 64 bits: the reference that chains are compared with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, ChainOutput, ConvChain, ConvLayer, ConvWeights, Executor, RunOptions,
};

/// Relative to the largest value: Winograd's transforms round a few times more than direct sums.
const TOLERANCE: f32 = 1e-5;

/// One layer of the reference.
pub(crate) struct ReferenceLayer {
    pub(crate) ins: usize,
    pub(crate) outs: usize,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) relu: bool,
    pub(crate) max_pool: bool,
}

/// A map `[C, H, W]`.
#[derive(Clone)]
pub(crate) struct Map {
    pub(crate) data: Vec<f32>,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Map {
    /// The value at a position; zero in the padding.
    pub(crate) fn at(&self, channel: usize, y: isize, x: isize) -> f64 {
        let inside = |at: isize, size: usize| usize::try_from(at).ok().filter(|&at| at < size);
        match (inside(y, self.height), inside(x, self.width)) {
            (Some(y), Some(x)) => {
                f64::from(self.data[(channel * self.height + y) * self.width + x])
            }
            _ => 0.0,
        }
    }
}

impl ReferenceLayer {
    /// An output before pooling.
    pub(crate) fn exact(&self, map: &Map, out: usize, y: isize, x: isize) -> f64 {
        let mut sum = f64::from(self.bias[out]);
        for channel in 0..self.ins {
            for i in 0..9 {
                let weight = self.weights[(out * self.ins + channel) * 9 + i as usize];
                sum += f64::from(weight) * map.at(channel, y + i / 3 - 1, x + i % 3 - 1);
            }
        }
        if self.relu { sum.max(0.0) } else { sum }
    }

    pub(crate) fn convolve(&self, map: &Map) -> Map {
        let mut data = Vec::with_capacity(self.outs * map.height * map.width);
        for out in 0..self.outs {
            for y in 0..map.height as isize {
                for x in 0..map.width as isize {
                    data.push(self.exact(map, out, y, x) as f32);
                }
            }
        }
        Map { data, ..*map }
    }

    pub(crate) fn pooled(&self, map: Map) -> Map {
        if !self.max_pool {
            return map;
        }
        let (height, width) = (map.height / 2, map.width / 2);
        let mut data = Vec::with_capacity(self.outs * height * width);
        for channel in 0..self.outs {
            for y in 0..height as isize {
                for x in 0..width as isize {
                    let corner = |i: isize| map.at(channel, 2 * y + i / 2, 2 * x + i % 2);
                    data.push((0..4).map(corner).fold(f64::NEG_INFINITY, f64::max) as f32);
                }
            }
        }
        Map { data, height, width }
    }
}

/// Pseudo-random values between −1 and 1.
pub(crate) fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed * 2 + 1;
    move || {
        // Knuth's linear congruential generator.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A chain with these channel counts, and its reference. Bits 2i and 2i + 1 of `flags` say whether
/// layer i has a ReLU and a max pooling.
pub(crate) fn chain(widths: &[usize], flags: u32, seed: u64) -> (ConvChain, Vec<ReferenceLayer>) {
    let mut next = noise(seed);
    let mut reference = Vec::new();
    for (index, pair) in widths.windows(2).enumerate() {
        let &[ins, outs] = pair else { continue };
        let scale = (6.0 / (9.0 * ins as f32)).sqrt();
        let weights = (0..ins * outs * 9).map(|_| scale * next()).collect();
        let bias = (0..outs).map(|_| 0.1 * next()).collect();
        let flag = |bit: usize| flags >> (2 * index + bit) & 1 == 1;
        reference.push(ReferenceLayer {
            ins,
            outs,
            weights,
            bias,
            relu: flag(0),
            max_pool: flag(1),
        });
    }
    (chain_of(&reference), reference)
}

pub(crate) fn chain_of(reference: &[ReferenceLayer]) -> ConvChain {
    let layer = |layer: &ReferenceLayer| ConvLayer {
        weights: Arc::new(
            ConvWeights::new(&layer.weights, Some(&layer.bias), layer.outs, layer.ins).unwrap(),
        ),
        relu: layer.relu,
        max_pool: layer.max_pool,
    };
    ConvChain::new(reference.iter().map(layer).collect()).unwrap()
}

pub(crate) fn run(
    chain: &ConvChain,
    batch: Batch<'_>,
    requests: &[ChainOutput],
    executor: &dyn Executor,
    skip_zero_regions: bool,
) -> Vec<Vec<f32>> {
    let len = |output: &ChainOutput| {
        let shape = chain.output_shape(*output, batch.height, batch.width).unwrap();
        batch.images * shape.iter().product::<usize>()
    };
    // An element that is not written stays NaN, which fails every comparison.
    let mut outputs: Vec<Vec<f32>> =
        requests.iter().map(|output| vec![f32::NAN; len(output)]).collect();
    let mut slices: Vec<(ChainOutput, &mut [f32])> =
        requests.iter().copied().zip(outputs.iter_mut().map(Vec::as_mut_slice)).collect();
    let cancel = AtomicBool::new(false);
    let options = RunOptions {
        cancel: &cancel,
        skip_zero_regions,
        equal_patches: true,
        settle_near_ties: None,
    };
    chain.run(batch, &mut slices, executor, options).unwrap();
    outputs
}

pub(crate) fn assert_close(expected: &[f32], output: &[f32], what: &str) {
    let largest = expected.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(expected.len(), output.len(), "{what}");
    for (index, (a, b)) in expected.iter().zip(output).enumerate() {
        let is_close = (a - b).abs() <= TOLERANCE * largest;
        assert!(
            is_close,
            "{what}: element {index} is {b} instead of {a}; the largest is {largest}"
        );
    }
}
