//! Chains held against the convolution as it is written, over shapes, channels, batches and masks.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camlens_kernels::{Batch, Chain, Link, Pool, Scoped, Serial, Settings, Stopped, Tap, Weights};
use proptest::prelude::*;

/// A part of the largest value; the transforms cost a few roundings more than the sum as written.
const TOLERANCE: f32 = 1e-5;

/// One link as plain numbers.
struct Plain {
    ins: usize,
    outs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    relu: bool,
    pool: bool,
}

/// `[C, H, W]` with its sides.
#[derive(Clone)]
struct Map {
    data: Vec<f32>,
    height: usize,
    width: usize,
}

impl Map {
    /// Zero outside, as padding is.
    fn at(&self, channel: usize, y: isize, x: isize) -> f64 {
        let inside = |at: isize, size: usize| usize::try_from(at).ok().filter(|&at| at < size);
        match (inside(y, self.height), inside(x, self.width)) {
            (Some(y), Some(x)) => {
                f64::from(self.data[(channel * self.height + y) * self.width + x])
            }
            _ => 0.0,
        }
    }
}

impl Plain {
    fn convolve(&self, map: &Map) -> Map {
        let mut data = Vec::with_capacity(self.outs * map.height * map.width);
        for out in 0..self.outs {
            for y in 0..map.height as isize {
                for x in 0..map.width as isize {
                    let mut sum = f64::from(self.bias[out]);
                    for channel in 0..self.ins {
                        for i in 0..9 {
                            let weight = self.weights[(out * self.ins + channel) * 9 + i as usize];
                            sum +=
                                f64::from(weight) * map.at(channel, y + i / 3 - 1, x + i % 3 - 1);
                        }
                    }
                    data.push(if self.relu { sum.max(0.0) } else { sum } as f32);
                }
            }
        }
        Map { data, ..*map }
    }

    fn pooled(&self, map: Map) -> Map {
        if !self.pool {
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

/// Numbers between −1 and 1 that look like nothing.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed * 2 + 1;
    move || {
        // Knuth's linear congruential generator.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A chain of these widths; link i has a ReLU and a pooling as bits 2i and 2i + 1 of `flags` say.
fn chain(widths: &[usize], flags: u32, seed: u64) -> (Chain, Vec<Plain>) {
    let mut next = noise(seed);
    let mut plain = Vec::new();
    for (index, pair) in widths.windows(2).enumerate() {
        let &[ins, outs] = pair else { continue };
        let scale = (6.0 / (9.0 * ins as f32)).sqrt();
        let weights = (0..ins * outs * 9).map(|_| scale * next()).collect();
        let bias = (0..outs).map(|_| 0.1 * next()).collect();
        let flag = |bit: usize| flags >> (2 * index + bit) & 1 == 1;
        plain.push(Plain { ins, outs, weights, bias, relu: flag(0), pool: flag(1) });
    }
    let link = |plain: &Plain| Link {
        weights: Arc::new(
            Weights::new(&plain.weights, Some(&plain.bias), plain.outs, plain.ins).unwrap(),
        ),
        relu: plain.relu,
        pool: plain.pool,
    };
    (Chain::new(plain.iter().map(link).collect()).unwrap(), plain)
}

fn run(
    chain: &Chain,
    batch: Batch<'_>,
    taps: &[Tap],
    threads: &dyn Pool,
    skip_rest: bool,
) -> Vec<Vec<f32>> {
    let len = |tap: &Tap| {
        batch.images * chain.shape(*tap, batch.height, batch.width).iter().product::<usize>()
    };
    // What is not written stays NaN, and shows.
    let mut outputs: Vec<Vec<f32>> = taps.iter().map(|tap| vec![f32::NAN; len(tap)]).collect();
    let mut wanted: Vec<(Tap, &mut [f32])> =
        taps.iter().copied().zip(outputs.iter_mut().map(Vec::as_mut_slice)).collect();
    let stop = AtomicBool::new(false);
    chain.run(batch, &mut wanted, threads, Settings { stop: &stop, skip_rest }).unwrap();
    outputs
}

fn assert_close(expected: &[f32], output: &[f32], what: &str) {
    let largest = expected.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(expected.len(), output.len(), "{what}");
    for (index, (a, b)) in expected.iter().zip(output).enumerate() {
        let is_close = (a - b).abs() <= TOLERANCE * largest;
        assert!(is_close, "{what}, {index}: {b} for {a}, the largest being {largest}");
    }
}

/// Runs a batch in every way, and holds each link of each image against the convolution as written.
fn check(
    widths: &[usize],
    flags: u32,
    [images, height, width]: [usize; 3],
    is_masked: impl Fn(usize, usize, usize) -> bool,
    threads: &dyn Pool,
) {
    let (chain, plain) = chain(widths, flags, (height * 31 + width) as u64);
    let mut next = noise(7);
    let image_len = widths[0] * height * width;
    let mut data: Vec<f32> = (0..images * image_len).map(|_| next()).collect();
    for (index, value) in data.iter_mut().enumerate() {
        if is_masked(index / image_len, index / width % height, index % width) {
            *value = 0.0;
        }
    }
    let batch = Batch { data: &data, images, height, width };
    let tap = |link: usize| [false, true].map(|is_pooled| Tap { link, is_pooled });
    let taps: Vec<Tap> = (0..plain.len()).flat_map(tap).collect();
    let last = [Tap { link: plain.len() - 1, is_pooled: true }];
    let all = run(&chain, batch, &taps, threads, true);
    let only = run(&chain, batch, &last, threads, true);
    let whole = run(&chain, batch, &last, threads, false);
    for image in 0..images {
        let part = |output: &[f32], len: usize| output[image * len..(image + 1) * len].to_vec();
        let mut map = Map { data: part(&data, image_len), height, width };
        for (index, link) in plain.iter().enumerate() {
            let unpooled = link.convolve(&map);
            assert_close(&unpooled.data, &part(&all[2 * index], unpooled.data.len()), "a tap");
            map = link.pooled(unpooled);
            assert_close(&map.data, &part(&all[2 * index + 1], map.data.len()), "a pooled tap");
        }
        assert_close(&map.data, &part(&only[0], map.data.len()), "the end, at rest where it may");
        assert_close(&map.data, &part(&whole[0], map.data.len()), "the end, all computed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_and_mask_gives_the_convolution(
        first in 1_usize..20,
        widths in prop::collection::vec(9_usize..40, 1..4),
        flags in any::<u32>(),
        images in 1_usize..4,
        (height, width) in (1_usize..24, 1_usize..24),
        (top, left, rows, columns) in (0_usize..24, 0_usize..24, 0_usize..24, 0_usize..24),
    ) {
        let widths: Vec<usize> = [first].into_iter().chain(widths).collect();
        // Two poolings at most leave something of an image this small.
        let flags = if height < 8 || width < 8 { flags & 0b01_0101 } else { flags & 0b01_1101 };
        let outside = |image: usize, y: usize, x: usize| {
            !(top + image..top + image + rows).contains(&y) || !(left..left + columns).contains(&x)
        };
        check(&widths, flags, [images, height, width], outside, &Scoped(2));
    }
}

#[test]
fn no_channel_and_no_place_is_lost_in_a_large_batch() {
    check(&[3, 16, 33], 0b0101, [17, 9, 10], |image, y, _| y > image, &Serial);
}

#[test]
fn maps_wider_than_a_word_are_planned_right() {
    check(&[3, 16, 32], 0b0111, [2, 70, 150], |image, y, x| y > 20 + image || x < 75, &Scoped(2));
}

#[test]
fn weights_too_large_for_a_cache_give_the_same() {
    check(&[128, 256, 272], 0b0101, [3, 20, 17], |_, y, _| y > 12, &Scoped(2));
    check(&[136, 256], 0b11, [1, 20, 16], |_, _, _| false, &Scoped(3));
}

#[test]
fn a_nan_in_the_image_reaches_the_end() {
    let (chain, _) = chain(&[3, 16, 16], 0b0101, 1);
    let mut data = vec![0.5; 3 * 8 * 8];
    data[20] = f32::NAN;
    let batch = Batch { data: &data, images: 1, height: 8, width: 8 };
    let end = run(&chain, batch, &[Tap { link: 1, is_pooled: false }], &Serial, true);
    assert!(end[0].iter().any(|value| value.is_nan()));
}

#[test]
fn a_raised_flag_stops_the_run() {
    let (chain, _) = chain(&[3, 16, 16], 0b0101, 1);
    let data = vec![0.5; 3 * 8 * 8];
    let batch = Batch { data: &data, images: 1, height: 8, width: 8 };
    let stop = AtomicBool::new(true);
    let result = chain.run(batch, &mut [], &Serial, Settings { stop: &stop, skip_rest: false });
    assert_eq!(result, Err(Stopped));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let weights = |outs: usize, ins: usize| {
        Weights::new(&vec![0.0; outs * ins * 9], None, outs, ins).map(Arc::new)
    };
    let link = |outs, ins| Link { weights: weights(outs, ins).unwrap(), relu: true, pool: false };
    assert!(Chain::new(vec![]).is_err());
    assert!(Chain::new(vec![link(16, 3), link(16, 32)]).is_err());
    assert!(Chain::new(vec![link(16, 3), link(16, 16)]).is_ok());
    assert!(Weights::new(&[0.0; 10], None, 1, 1).is_err());
    assert!(Weights::new(&[0.0; 9], Some(&[]), 1, 1).is_err());
}
