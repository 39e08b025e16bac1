//! Convolution, transposed convolution and folding.

use super::{HEIGHT, Network, WIDTH, int, ints, string};

cases![
    (conv_with_bias_and_padding, "Conv", -1.0, 1.0, |n| {
        let (weight, bias) = (n.weights(&[4, 3, 3, 3]), n.weights(&[4]));
        n.op_with("Conv", &["layer", &weight, &bias], [ints("pads", &[1, 1, 1, 1])])
    }),
    (conv_strided_dilated_asymmetric_padding, "Conv", -1.0, 1.0, |n| {
        let weight = n.weights(&[4, 3, 2, 3]);
        let window =
            [ints("strides", &[2, 1]), ints("dilations", &[1, 2]), ints("pads", &[1, 2, 0, 1])];
        n.op_with("Conv", &["layer", &weight], window)
    }),
    (conv_depthwise_same_upper_stride_2, "Conv", -1.0, 1.0, |n| {
        let weight = n.weights(&[3, 1, 3, 3]);
        let same = string("auto_pad", "SAME_UPPER");
        n.op_with("Conv", &["layer", &weight], [int("group", 3), ints("strides", &[2, 2]), same])
    }),
    (conv_depthwise_dilated_asymmetric_padding, "Conv", -1.0, 1.0, |n| {
        let weight = n.weights(&[3, 1, 2, 3]);
        let window = [int("group", 3), ints("dilations", &[2, 1]), ints("pads", &[1, 2, 0, 1])];
        n.op_with("Conv", &["layer", &weight], window)
    }),
    (conv_depthwise_between_activations, "Conv", -1.0, 1.0, between_activations),
    (conv_depthwise_after_pooling, "Conv", -1.0, 1.0, after_pooling),
    (conv_grouped_with_unread_rows_and_columns, "Conv", -1.0, 1.0, |n| {
        // Groups of several channels. No window reaches the last rows and columns.
        let up = n.weights(&[6, 3, 1, 1]);
        let wide = n.op_with("Conv", &["layer", &up], []);
        let weight = n.weights(&[4, 3, 3, 1]);
        n.op_with("Conv", &[&wide, &weight], [int("group", 2), ints("pads", &[0, 1, 2, 0])])
    }),
    (conv_stride_larger_than_kernel, "Conv", -1.0, 1.0, |n| {
        let weight = n.weights(&[2, 3, 2, 2]);
        n.op_with("Conv", &["layer", &weight], [ints("strides", &[3, 3])])
    }),
    (conv_weights_and_bias_from_the_layer, "Conv", -1.0, 1.0, |n| {
        // No window reaches the last column.
        let [kernel, vector] = weights_from_layer(n, [&[3, 3, 2, 2], &[3]]);
        let window =
            [ints("strides", &[1, 2]), ints("dilations", &[2, 1]), ints("pads", &[1, 0, 0, 0])];
        n.op_with("Conv", &["layer", &kernel, &vector], window)
    }),
    (conv_grouped_weights_from_the_layer, "Conv", -1.0, 1.0, |n| {
        // Two groups, a batch of 5, padding on all sides.
        let maps = n.int64s(&[5, 6, 3, 1]);
        let images = n.op("Reshape", &["layer", &maps]);
        let [kernel, _] = weights_from_layer(n, [&[4, 3, 1, 1], &[3]]);
        let spread = n.int64s(&[4, 3, 3, 1]);
        let kernel = n.op("Expand", &[&kernel, &spread]);
        let maps =
            n.op_with("Conv", &[&images, &kernel], [int("group", 2), ints("pads", &[1, 0, 1, 0])]);
        let row = n.int64s(&[1, -1]);
        n.op("Reshape", &[&maps, &row])
    }),
    (conv_transpose_with_output_padding, "ConvTranspose", -1.0, 1.0, |n| {
        let weight = n.weights(&[3, 2, 3, 3]);
        let window = [
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
            ints("output_padding", &[1, 0]),
        ];
        n.op_with("ConvTranspose", &["layer", &weight], window)
    }),
    (conv_transpose_weights_and_bias_from_the_layer, "ConvTranspose", -1.0, 1.0, |n| {
        let [kernel, vector] = weights_from_layer(n, [&[3, 1, 3, 2], &[3]]);
        let window = [int("group", 3), ints("strides", &[2, 1]), ints("pads", &[1, 0, 0, 1])];
        n.op_with("ConvTranspose", &["layer", &kernel, &vector], window)
    }),
    (col2im, "Col2Im", -2.0, 2.0, |n| {
        let (up, flat) = (n.weights(&[8, 3, 1, 1]), n.int64s(&[0, 8, -1]));
        let wide = n.op("Conv", &["layer", &up]);
        let columns = n.op("Reshape", &[&wide, &flat]);
        // As many windows as positions, two rows apart, half outside at the sides.
        let (image, block) = (n.int64s(&[2 * HEIGHT as i64, WIDTH as i64 - 1]), n.int64s(&[2, 2]));
        n.op_with(
            "Col2Im",
            &[&columns, &image, &block],
            [ints("strides", &[2, 1]), ints("pads", &[0, 1, 0, 1])],
        )
    }),
];

/// Tensors of these shapes from the elements of the layer, to serve as weights.
fn weights_from_layer<const COUNT: usize>(
    n: &mut Network,
    shapes: [&[i64]; COUNT],
) -> [String; COUNT] {
    let flat = n.int64s(&[-1]);
    let elements = n.op("Reshape", &["layer", &flat]);
    shapes.map(|shape| {
        let (start, end) = (n.int64s(&[7]), n.int64s(&[7 + shape.iter().product::<i64>()]));
        let taken = n.op("Slice", &[&elements, &start, &end]);
        let shape = n.int64s(shape);
        n.op("Reshape", &[&taken, &shape])
    })
}

/// A depthwise convolution with an activation function before and another after it.
fn between_activations(n: &mut Network) -> String {
    let weight = n.weights(&[3, 1, 3, 3]);
    let before = n.op("HardSwish", &["layer"]);
    let window = [int("group", 3), ints("strides", &[2, 1]), ints("pads", &[1, 1, 1, 1])];
    let maps = n.op_with("Conv", &[&before, &weight], window);
    let gate = n.op("Sigmoid", &[&maps]);
    n.op("Mul", &[&maps, &gate])
}

/// A depthwise convolution of means. The gradient of its input has more consumers than elements.
fn after_pooling(n: &mut Network) -> String {
    let weight = n.weights(&[3, 1, 1, 1]);
    let mean = n.op("GlobalAveragePool", &["layer"]);
    let gates = n.op_with("Conv", &[&mean, &weight], [int("group", 3)]);
    n.op("Mul", &[&gates, "layer"])
}
