//! Sizes at the edge of what the kernels take: maps of one row, maps longer than 16 bits can count,
//! channels that fill no block, empty tensors, and sizes whose product overflows.

use std::sync::atomic::AtomicBool;

use camlens_kernels::{
    Batch, BoundExpression, ChainOutput, ConvWeights, DepthwiseConv, Direction, Doubts, Expression,
    FeatureMaps, Matrix, NCHWC_BLOCKS, Op, RunError, RunOptions, ScopedThreads, Serial, Step,
    Tensor, Window, gemv, gemv_transposed,
};
use proptest::prelude::*;

use crate::reference::{Map, assert_close, chain, noise, run};

/// A size whose square is more than [`usize::MAX`]; the square wraps around to 0.
const HALF: usize = 1 << (usize::BITS / 2);

static RUNNING: AtomicBool = AtomicBool::new(false);

const OPTIONS: RunOptions<'_> = RunOptions {
    cancel: &RUNNING,
    skip_zero_regions: true,
    equal_patches: true,
    settle_near_ties: None,
};

/// Part of a map `[C, H, W]`.
fn cut(map: &Map, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Map {
    let lines = map.data.chunks_exact(map.width).enumerate();
    let lines = lines.filter(|(line, _)| rows.contains(&(line % map.height)));
    let data = lines.flat_map(|(_, line)| &line[columns.clone()]).copied().collect();
    Map { data, height: rows.len(), width: columns.len() }
}

/// A tile's row once was 16 bits wide, so that from row 262,144 on two tiles were one.
#[test]
fn a_map_of_more_than_65536_tiles_on_a_side_matches_direct_convolution() {
    const LONG: usize = 300_000;
    const SHORT: usize = 6;
    /// How far from the end of a part its values depend on what was cut off.
    const MARGIN: usize = 4;
    let (chain, reference) = chain(&[3, 16, 17], 0b1101, 4);
    let last = [ChainOutput { layer: 1, pooled: true }];
    for is_tall in [true, false] {
        let turned = |long, short| if is_tall { [long, short] } else { [short, long] };
        let [height, width] = turned(LONG, SHORT);
        let mut next = noise(11);
        let data = (0..3 * height * width).map(|_| next()).collect();
        let image = Map { data, height, width };
        let batch = Batch { data: &image.data, images: 1, height, width };
        let data = run(&chain, batch, &last, &ScopedThreads(2), true).remove(0);
        let output = Map { data, height: height / 2, width: width / 2 };
        for (start, end) in [(0, 48), (262_120, 262_168), (LONG - 48, LONG)] {
            let part = |map: &Map, from: usize, to: usize, short: usize| {
                let [rows, columns] =
                    if is_tall { [from..to, 0..short] } else { [0..short, from..to] };
                cut(map, rows, columns)
            };
            let expected = reference.iter().fold(part(&image, start, end, SHORT), |map, layer| {
                layer.pooled(layer.convolve(&map))
            });
            let from = if start == 0 { 0 } else { MARGIN };
            let to = (end - start) / 2 - if end == LONG { 0 } else { MARGIN };
            assert_close(
                &part(&expected, from, to, SHORT / 2).data,
                &part(&output, start / 2 + from, start / 2 + to, SHORT / 2).data,
                &format!("tall: {is_tall}, positions {start}..{end}"),
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn maps_of_few_rows_or_columns_match_direct_convolution(
        ins in 1_usize..20,
        outs in prop::collection::vec(9_usize..36, 1..3),
        flags in any::<u32>(),
        images in 0_usize..3,
        (long, short, is_tall) in (1_usize..300, 1_usize..4, any::<bool>()),
    ) {
        let widths: Vec<usize> = [ins].into_iter().chain(outs).collect();
        let (chain, reference) = chain(&widths, flags, 3);
        let [height, width] = if is_tall { [long, short] } else { [short, long] };
        let image_len = ins * height * width;
        let mut next = noise(flags.into());
        let data: Vec<f32> = (0..images * image_len).map(|_| next()).collect();
        let batch = Batch { data: &data, images, height, width };
        let last = [ChainOutput { layer: reference.len() - 1, pooled: true }];
        let output = run(&chain, batch, &last, &ScopedThreads(2), true).remove(0);
        let maps = data.chunks_exact(image_len).map(|image| {
            let image = Map { data: image.to_vec(), height, width };
            reference.iter().fold(image, |map, layer| layer.pooled(layer.convolve(&map)))
        });
        let expected: Vec<f32> = maps.flat_map(|map| map.data).collect();
        assert_close(&expected, &output, "the output");
    }
}

#[test]
fn a_batch_without_an_image_or_a_position_has_empty_outputs() {
    let (chain, _) = chain(&[3, 16, 16], 0b0111, 1);
    for [images, height, width] in [[0, 8, 8], [2, 0, 8], [2, 8, 0], [0, 0, 0]] {
        let batch = Batch { data: &[], images, height, width };
        for (layer, pooled) in [(0, false), (0, true), (1, true)] {
            let mut outputs = [(ChainOutput { layer, pooled }, &mut [][..])];
            let doubts = chain.run(batch, &mut outputs, &Serial, OPTIONS);
            assert_eq!(doubts, Ok(Doubts::default()), "{batch:?}");
        }
    }
}

#[test]
fn a_chain_rejects_what_does_not_fit_it() {
    let (chain, _) = chain(&[3, 16], 0b01, 1);
    let (data, mut to) = ([1.0; 3 * 4], [0.0; 16 * 4]);
    let last = ChainOutput { layer: 0, pooled: false };
    let is_invalid = |batch: Batch<'_>, output: ChainOutput, to: &mut [f32], options| {
        let error = chain.run(batch, &mut [(output, to)], &Serial, options).unwrap_err();
        assert!(matches!(error, RunError::Invalid(_)), "{error}");
        assert!(!error.to_string().is_empty());
    };
    let batch = Batch { data: &data, images: 1, height: 2, width: 2 };
    assert!(chain.run(batch, &mut [(last, &mut to)], &Serial, OPTIONS).is_ok());
    is_invalid(Batch { data: &data[1..], ..batch }, last, &mut to, OPTIONS);
    is_invalid(Batch { height: 3, ..batch }, last, &mut to, OPTIONS);
    is_invalid(batch, last, &mut to[1..], OPTIONS);
    is_invalid(batch, ChainOutput { layer: 1, pooled: false }, &mut to, OPTIONS);
    is_invalid(batch, ChainOutput { layer: usize::MAX, pooled: true }, &mut to, OPTIONS);
    let filters: [&[_]; 2] = [&[[0; 4]; 3], &[]];
    for filters in [&filters[..1], &filters[..], &[]] {
        let options = RunOptions { settle_near_ties: Some(filters), ..OPTIONS };
        is_invalid(batch, last, &mut to, options);
    }
    // Products that wrap around to the length of the slice.
    let none = |images, height, width| Batch { data: &[], images, height, width };
    for batch in [none(1, HALF, HALF), none(HALF, HALF, 1), none(1 << 62, 2, 2)] {
        is_invalid(batch, last, &mut [], OPTIONS);
    }
    assert!(ConvWeights::new(&[], None, HALF, HALF).is_err());
}

#[test]
fn a_map_of_more_positions_than_32_bits_count_is_an_error() {
    let (chain, _) = chain(&[3, 16], 0b01, 1);
    let batch = Batch { data: &[], images: 0, height: 1 << 16, width: 1 << 16 };
    let error = chain.run(batch, &mut [], &Serial, OPTIONS).unwrap_err();
    assert_eq!(error.to_string(), "a map of 65536x65536 has more than 4294967295 positions");
}

#[test]
fn a_product_with_a_matrix_takes_empty_operands_and_rejects_others() {
    let mut output = [f32::NAN; 4];
    let empty = Matrix { bytes: &[], rows: 0, columns: 2 };
    // No terms: the bias, or zero, for each of two inputs.
    gemv(&[], empty, Some(&[1.0, 2.0]), &mut output, &Serial).unwrap();
    assert_eq!(output, [1.0, 2.0, 1.0, 2.0]);
    let turned = Matrix { bytes: &[], rows: 2, columns: 0 };
    gemv_transposed(&[], turned, None, &mut output, &Serial).unwrap();
    assert_eq!(output, [0.0; 4]);
    // No outputs, and no inputs.
    gemv(&[1.0; 4], Matrix { bytes: &[], rows: 2, columns: 0 }, None, &mut [], &Serial).unwrap();
    gemv_transposed(&[1.0; 4], empty, None, &mut [], &Serial).unwrap();
    let bytes = [0; 16];
    let matrix = Matrix { bytes: &bytes, rows: 2, columns: 2 };
    for multiply in [gemv, gemv_transposed] {
        multiply(&[], matrix, None, &mut [], &Serial).unwrap();
        assert!(multiply(&[], matrix, None, &mut output, &Serial).is_err());
        assert!(multiply(&[1.0; 3], matrix, None, &mut output, &Serial).is_err());
        assert!(multiply(&[1.0; 4], matrix, None, &mut output[1..], &Serial).is_err());
        assert!(multiply(&[1.0; 4], matrix, Some(&[1.0]), &mut output, &Serial).is_err());
        let short = Matrix { bytes: &bytes[1..], ..matrix };
        assert!(multiply(&[1.0; 4], short, None, &mut output, &Serial).is_err());
        // 4 · 2⁶² bytes wrap around to none, and four inputs to outputs of 2⁶⁴ values.
        let huge = Matrix { bytes: &[], rows: 1 << (usize::BITS - 2), columns: 1 };
        assert!(multiply(&[1.0; 4], huge, None, &mut [], &Serial).is_err());
        let huge = Matrix { bytes: &[], rows: HALF, columns: HALF };
        assert!(multiply(&[], huge, None, &mut [], &Serial).is_err());
    }
}

#[test]
fn an_expression_takes_empty_tensors_and_rejects_sizes_that_wrap_around() {
    let steps = vec![Step { op: Op::Add, operands: [0, 1, 0] }];
    let add = Expression::new(2, vec![], steps).unwrap();
    let bind = |a: Tensor<'static>, b: Tensor<'static>, shape: &[usize]| {
        BoundExpression::new(&add, None, &[a, b], shape).and_then(|bound| {
            bound.run(&mut [], &Serial)?;
            bound.channel_sums([0, 8], &mut [], &Serial)
        })
    };
    let pair = Tensor { data: &[1.0, 2.0], shape: &[2] };
    let none = |shape| Tensor { data: &[], shape };
    assert_eq!(bind(none(&[0, 2]), pair, &[0, 2]), Ok(()));
    assert_eq!(bind(none(&[0, HALF, HALF, 1]), pair, &[0, HALF, HALF, 2]), Ok(()));
    assert!(bind(none(&[HALF, HALF]), none(&[HALF, HALF]), &[HALF, HALF]).is_err());
    let one = Tensor { data: &[1.0], shape: &[1, 1] };
    assert!(bind(one, one, &[HALF, HALF]).is_err());
    assert!(bind(Tensor { data: &[], shape: &[2] }, pair, &[2]).is_err());
    let bound = BoundExpression::new(&add, None, &[pair, pair], &[2]).unwrap();
    assert!(bound.channel_sums([usize::MAX / 4, 8], &mut [0.0; 16], &Serial).is_err());
}

const WINDOW: Window = Window { kernel: [3; 2], strides: [1; 2], dilations: [1; 2], pads: [1; 2] };

fn depthwise(
    data: &[f32],
    size: [usize; 2],
    window: Window,
    output_size: [usize; 2],
) -> DepthwiseConv<'_> {
    const WEIGHTS: &[f32] = &[1.0; 9 * 16];
    let (channels, direction) = (16, Direction::Forward);
    DepthwiseConv {
        input: FeatureMaps { data, channels, size },
        prologue: None,
        weights: WEIGHTS,
        window,
        direction,
        output_size,
        epilogue: None,
    }
}

/// Runs a convolution in every layout. All of them answer alike.
fn is_taken(conv: &DepthwiseConv<'_>, output: &mut [f32]) -> bool {
    let is_ok = conv.run(output, &ScopedThreads(2)).is_ok();
    for block in NCHWC_BLOCKS {
        assert_eq!(conv.run_nchwc(block, output, &Serial).is_ok(), is_ok, "{conv:?}, {block}");
    }
    is_ok
}

#[test]
fn a_depthwise_convolution_takes_empty_maps_and_rejects_sizes_that_wrap_around() {
    assert!(is_taken(&depthwise(&[], [4, 4], WINDOW, [4, 4]), &mut []));
    assert!(is_taken(&depthwise(&[], [0, 4], WINDOW, [0, 4]), &mut []));
    assert!(!is_taken(&depthwise(&[], [0, 4], WINDOW, [1, 4]), &mut [0.0; 64]));
    assert!(!is_taken(&depthwise(&[], [HALF, HALF], WINDOW, [HALF, HALF]), &mut []));
    let (ones, mut output) = ([1.0; 64], [0.0; 64]);
    for direction in [Direction::Forward, Direction::Transposed] {
        for large in [1 << 29, 1 << 40, usize::MAX / 2, usize::MAX] {
            let of = |window: Window| DepthwiseConv {
                direction,
                ..depthwise(&ones, [2, 2], window, [2, 2])
            };
            assert!(!is_taken(&of(Window { kernel: [large, 3], ..WINDOW }), &mut output));
            assert!(!is_taken(&of(Window { kernel: [9, 0], ..WINDOW }), &mut output));
            assert!(!is_taken(&of(Window { strides: [1, 0], ..WINDOW }), &mut output));
            assert!(!is_taken(&of(Window { dilations: [large, 1], ..WINDOW }), &mut output));
            assert!(!is_taken(&of(Window { pads: [1, large], ..WINDOW }), &mut output));
        }
    }
}

/// One output position takes any stride, since no second one is a stride away.
#[test]
fn a_stride_past_the_end_of_the_map_needs_no_more_memory() {
    let (ones, mut output) = ([1.0; 64], [0.0; 16]);
    let window = Window { strides: [1 << 30, 1 << 29], ..WINDOW };
    let forward = depthwise(&ones, [2, 2], window, [1, 1]);
    assert!(is_taken(&forward, &mut output));
    assert_eq!(output, [4.0; 16]);
    let mut wide = [0.0; 64];
    let back = DepthwiseConv {
        direction: Direction::Transposed,
        ..depthwise(&ones[..16], [1, 1], window, [2, 2])
    };
    assert!(is_taken(&back, &mut wide));
    assert_eq!(wide, [1.0; 64]);
}
