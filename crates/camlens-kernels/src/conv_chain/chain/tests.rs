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
    let shape = chain.output_shape(last, SIZE.height, SIZE.width).unwrap();
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
        near_ties: AtomicUsize::new(0),
        open_gates: AtomicUsize::new(0),
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
            requests.map(|request| chain.output_shape(request, SIZE.height, SIZE.width).unwrap());
        let mut buffers = shapes.map(|shape| vec![f32::NAN; shape.iter().product()]);
        let cancel = AtomicBool::new(false);
        for equal_patches in [true, false] {
            let mut slices = buffers.iter_mut().map(Vec::as_mut_slice);
            let mut outputs = requests.map(|request| (request, slices.next().unwrap_or_default()));
            let batch = Batch { data: &data, images: 1, height: SIZE.height, width: SIZE.width };
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

#[test]
fn zero_responses_are_kept_for_the_sizes_used_last() {
    let (chain, cancel) = (chain(ConvKernels::detect()), AtomicBool::new(false));
    let ask = |height: usize| {
        let size = MapSize { height, width: 8 };
        chain.zero_response(size, &Serial, &cancel).unwrap()
    };
    let first = ask(8);
    for height in 9..30 {
        ask(height);
        // Used again and again, so never the oldest.
        assert!(Arc::ptr_eq(&first, &ask(8)), "{height}");
        assert!(lock(&chain.zero_responses).len() <= MAX_ZERO_RESPONSES);
    }
    let kept: Vec<usize> =
        lock(&chain.zero_responses).iter().map(|(size, _)| size.height).collect();
    assert_eq!(kept, [27, 28, 29, 8]);
}
