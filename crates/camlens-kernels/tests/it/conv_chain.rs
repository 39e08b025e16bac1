//! Convolution chains against direct convolution in 64 bits, over shapes, channels, batches and
//! masks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, ChainOutput, ConvChain, ConvLayer, ConvWeights, Executor, RunError, RunOptions,
    ScopedThreads, Serial,
};
use proptest::prelude::*;

use crate::reference::{Map, assert_close, chain, chain_of, noise, run};

/// Runs a batch with every option, and compares each layer of each image with direct convolution.
pub(crate) fn check(
    widths: &[usize],
    flags: u32,
    [images, height, width]: [usize; 3],
    is_masked: impl Fn(usize, usize, usize) -> bool,
    executor: &dyn Executor,
) {
    let (chain, reference) = chain(widths, flags, (height * 31 + width) as u64);
    let mut next = noise(7);
    let image_len = widths[0] * height * width;
    let mut data: Vec<f32> = (0..images * image_len).map(|_| next()).collect();
    for (index, value) in data.iter_mut().enumerate() {
        if is_masked(index / image_len, index / width % height, index % width) {
            *value = 0.0;
        }
    }
    let batch = Batch { data: &data, images, height, width };
    let outputs_of = |layer: usize| [false, true].map(|pooled| ChainOutput { layer, pooled });
    let every: Vec<ChainOutput> = (0..reference.len()).flat_map(outputs_of).collect();
    let last = [ChainOutput { layer: reference.len() - 1, pooled: true }];
    let all = run(&chain, batch, &every, executor, true);
    let skipped = run(&chain, batch, &last, executor, true);
    let computed = run(&chain, batch, &last, executor, false);
    for image in 0..images {
        let part = |output: &[f32], len: usize| output[image * len..(image + 1) * len].to_vec();
        let mut map = Map { data: part(&data, image_len), height, width };
        for (index, layer) in reference.iter().enumerate() {
            let unpooled = layer.convolve(&map);
            assert_close(&unpooled.data, &part(&all[2 * index], unpooled.data.len()), "an output");
            map = layer.pooled(unpooled);
            assert_close(&map.data, &part(&all[2 * index + 1], map.data.len()), "a pooled output");
        }
        assert_close(
            &map.data,
            &part(&skipped[0], map.data.len()),
            "the last output, skipping zeros",
        );
        assert_close(
            &map.data,
            &part(&computed[0], map.data.len()),
            "the last output, computed whole",
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_and_mask_matches_direct_convolution(
        first in 1_usize..20,
        widths in prop::collection::vec(9_usize..40, 1..4),
        flags in any::<u32>(),
        images in 1_usize..4,
        (height, width) in (1_usize..24, 1_usize..24),
        (top, left, rows, columns) in (0_usize..24, 0_usize..24, 0_usize..24, 0_usize..24),
    ) {
        let widths: Vec<usize> = [first].into_iter().chain(widths).collect();
        // At most two poolings, so that something is left of an image this small.
        let flags = if height < 8 || width < 8 { flags & 0b01_0101 } else { flags & 0b01_1101 };
        let is_masked = |image: usize, y: usize, x: usize| {
            !(top + image..top + image + rows).contains(&y) || !(left..left + columns).contains(&x)
        };
        check(&widths, flags, [images, height, width], is_masked, &ScopedThreads(2));
    }
}

#[test]
fn a_large_batch_keeps_every_channel_and_position() {
    check(&[3, 16, 33], 0b0101, [17, 9, 10], |image, y, _| y > image, &Serial);
}

#[test]
fn maps_wider_than_a_mask_word_are_planned_correctly() {
    check(
        &[3, 16, 32],
        0b0111,
        [2, 70, 150],
        |image, y, x| y > 20 + image || x < 75,
        &ScopedThreads(2),
    );
}

#[test]
fn weights_larger_than_the_cache_match_direct_convolution() {
    check(&[128, 256, 272], 0b0101, [3, 20, 17], |_, y, _| y > 12, &ScopedThreads(2));
    check(&[136, 256], 0b11, [1, 20, 16], |_, _, _| false, &ScopedThreads(3));
}

#[test]
fn a_nan_in_the_image_propagates_to_the_output() {
    let (chain, _) = chain(&[3, 16, 16], 0b0101, 1);
    let mut data = vec![0.5; 3 * 8 * 8];
    data[20] = f32::NAN;
    let batch = Batch { data: &data, images: 1, height: 8, width: 8 };
    let last = [ChainOutput { layer: 1, pooled: false }];
    let outputs = run(&chain, batch, &last, &Serial, true);
    assert!(outputs[0].iter().any(|value| value.is_nan()));
}

#[test]
fn a_set_cancel_flag_cancels_the_run() {
    let (chain, _) = chain(&[3, 16, 16], 0b0101, 1);
    let data = vec![0.5; 3 * 8 * 8];
    let batch = Batch { data: &data, images: 1, height: 8, width: 8 };
    let cancel = AtomicBool::new(true);
    let options = RunOptions {
        cancel: &cancel,
        skip_zero_regions: false,
        equal_patches: false,
        settle_near_ties: None,
    };
    assert_eq!(chain.run(batch, &mut [], &Serial, options), Err(RunError::Cancelled));
}

/// The index of the first of the largest values.
fn first_of_largest<T: PartialOrd>(values: [T; 4]) -> usize {
    (1..4).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

#[test]
fn open_gates_within_rounding_of_0_are_counted() {
    let (height, width, ins, outs) = (20, 28, 16, 24);
    for (flags, has_relu) in [(0b11, true), (0b10, false)] {
        let (_, mut reference) = chain(&[ins, outs], flags, 5);
        reference[0].bias.fill(0.0);
        let chain = chain_of(&reference);
        let bytes: Vec<_> = reference[0].weights.iter().map(|value| value.to_ne_bytes()).collect();
        // One strong pixel; everything outside its tile is less than that tile's rounding.
        let mut next = noise(3);
        let strength = |index: usize| if index.is_multiple_of(height * width) { 1.0 } else { 1e-9 };
        let data: Vec<f32> =
            (0..ins * height * width).map(|index| strength(index) * next()).collect();
        let mut output = vec![f32::NAN; outs * height * width];
        let options = RunOptions {
            cancel: &AtomicBool::new(false),
            skip_zero_regions: false,
            equal_patches: true,
            settle_near_ties: Some(&[bytes.as_slice()]),
        };
        let request = ChainOutput { layer: 0, pooled: false };
        let batch = Batch { data: &data, images: 1, height, width };
        let doubts = chain.run(batch, &mut [(request, &mut output)], &Serial, options).unwrap();
        let in_tile = |index: usize| index / width % height < 4 && index % width < 4;
        let open = output.iter().enumerate().filter(|&(at, &v)| v > 0.0 && !in_tile(at)).count();
        assert!(open > 1000, "{open}");
        let expected = if has_relu { open..=open + 16 * outs } else { 0..=0 };
        assert!(expected.contains(&doubts.open_gates), "{doubts:?}, expected {expected:?}");
    }
}

#[test]
fn the_largest_of_a_pooling_window_is_that_of_64_bits_where_near_ties_are_settled() {
    let (height, width, images) = (20, 28, 2);
    // The first layer is direct convolution with 3 channels and Winograd's algorithm with 16.
    for (channels, flags) in [(3, 0b11), (16, 0b11), (16, 0b10)] {
        let (chain, reference) = chain(&[channels, 24], flags, 5);
        let bytes: Vec<_> = reference[0].weights.iter().map(|value| value.to_ne_bytes()).collect();
        let filters = [bytes.as_slice()];
        // Nearly flat, so that all values of a window are nearly equal.
        let mut next = noise(3);
        let data: Vec<f32> =
            (0..images * channels * height * width).map(|_| 0.5 + 3e-7 * next()).collect();
        let batch = Batch { data: &data, images, height, width };
        let request = ChainOutput { layer: 0, pooled: false };
        let len = 24 * height * width;
        let cancel = AtomicBool::new(false);
        let mut wrong = Vec::new();
        for settle_near_ties in [None, Some(&filters[..])] {
            let options = RunOptions {
                cancel: &cancel,
                skip_zero_regions: false,
                equal_patches: true,
                settle_near_ties,
            };
            let mut output = vec![f32::NAN; images * len];
            let settled =
                chain.run(batch, &mut [(request, &mut output)], &ScopedThreads(2), options);
            assert_eq!(
                settled.unwrap().settled > 0,
                settle_near_ties.is_some(),
                "{channels} channels"
            );
            let mut count = 0;
            for (image, output) in output.chunks_exact(len).enumerate() {
                let inputs = channels * height * width;
                let data = data[image * inputs..(image + 1) * inputs].to_vec();
                let map = Map { data, height, width };
                for window in 0..len / 4 {
                    let (out, row) = (window * 4 / (height * width), window / (width / 2));
                    let (y, x) = (2 * (row % (height / 2)), 2 * (window % (width / 2)));
                    let corners = [0, 1, 2, 3].map(|i| (y + i / 2, x + i % 2));
                    let exact =
                        corners.map(|(y, x)| reference[0].exact(&map, out, y as isize, x as isize));
                    let found = corners.map(|(y, x)| output[(out * height + y) * width + x]);
                    count += usize::from(first_of_largest(exact) != first_of_largest(found));
                }
            }
            wrong.push(count);
        }
        assert!(wrong[0] > 100, "{channels} channels: {wrong:?}");
        assert_eq!(wrong[1], 0, "{channels} channels: {wrong:?}");
    }
}

#[test]
fn mismatched_channels_and_lengths_are_rejected() {
    let weights = |outs: usize, ins: usize| {
        ConvWeights::new(&vec![0.0; outs * ins * 9], None, outs, ins).map(Arc::new)
    };
    let layer =
        |outs, ins| ConvLayer { weights: weights(outs, ins).unwrap(), relu: true, max_pool: false };
    assert!(ConvChain::new(vec![]).is_err());
    assert!(ConvChain::new(vec![layer(16, 3), layer(16, 32)]).is_err());
    assert!(ConvChain::new(vec![layer(16, 3), layer(16, 16)]).is_ok());
    assert!(ConvWeights::new(&[0.0; 10], None, 1, 1).is_err());
    assert!(ConvWeights::new(&[0.0; 9], Some(&[]), 1, 1).is_err());
}
