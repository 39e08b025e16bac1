//! Pooling.

use super::{int, ints};

cases![
    (average_pool_asymmetric_padding, "AveragePool", -2.0, 2.0, |n| {
        let window =
            [ints("kernel_shape", &[3, 2]), ints("strides", &[2, 1]), ints("pads", &[1, 0, 1, 1])];
        n.op_with("AveragePool", &["layer"], window)
    }),
    (average_pool_count_include_pad, "AveragePool", -2.0, 2.0, |n| {
        let window = [
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
            int("count_include_pad", 1),
        ];
        n.op_with("AveragePool", &["layer"], window)
    }),
    (average_pool_ceil_mode, "AveragePool", -2.0, 2.0, |n| {
        let window = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), int("ceil_mode", 1)];
        n.op_with("AveragePool", &["layer"], window)
    }),
    (average_pool_kernel_larger_than_the_map, "AveragePool", -2.0, 2.0, |n| {
        let window = [
            ints("kernel_shape", &[2560, 2560]),
            ints("strides", &[2560, 2560]),
            int("ceil_mode", 1),
            int("count_include_pad", 1),
        ];
        n.op_with("AveragePool", &["layer"], window)
    }),
    (global_average_pool, "GlobalAveragePool", -2.0, 2.0, |n| n
        .op("GlobalAveragePool", &["layer"])),
    (global_max_pool, "GlobalMaxPool", -2.0, 2.0, |n| n.op("GlobalMaxPool", &["layer"])),
    (max_pool, "MaxPool", -2.0, 2.0, |n| {
        n.op_with("MaxPool", &["layer"], [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
    }),
    (max_pool_ceil_mode, "MaxPool", -2.0, 2.0, |n| {
        let window = [
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[2, 2]),
            ints("pads", &[1, 1, 1, 1]),
            int("ceil_mode", 1),
        ];
        n.op_with("MaxPool", &["layer"], window)
    }),
    (max_pool_overlapping_windows, "MaxPool", -2.0, 2.0, |n| {
        n.op_with(
            "MaxPool",
            &["layer"],
            [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
        )
    }),
];
