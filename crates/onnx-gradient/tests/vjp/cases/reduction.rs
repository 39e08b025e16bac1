//! Reductions.

use super::int;

cases![
    (reduce_l2, "ReduceL2", 0.5, 2.0, |n| {
        let axes = n.int64s(&[-1]);
        n.op_with("ReduceL2", &["layer", &axes], [int("keepdims", 0)])
    }),
    (reduce_l1_over_channels, "ReduceL1", -2.0, 2.0, |n| {
        let axes = n.int64s(&[1]);
        n.op("ReduceL1", &["layer", &axes])
    }),
    (reduce_log_sum, "ReduceLogSum", 0.5, 2.0, |n| {
        let axes = n.int64s(&[-1]);
        n.op_with("ReduceLogSum", &["layer", &axes], [int("keepdims", 0)])
    }),
    (reduce_log_sum_exp, "ReduceLogSumExp", -2.0, 2.0, |n| {
        let axes = n.int64s(&[2, 3]);
        n.op("ReduceLogSumExp", &["layer", &axes])
    }),
    (reduce_min, "ReduceMin", -2.0, 2.0, |n| {
        let axes = n.int64s(&[1]);
        n.op_with("ReduceMin", &["layer", &axes], [int("keepdims", 0)])
    }),
    (reduce_prod, "ReduceProd", -1.5, 1.5, |n| {
        let axes = n.int64s(&[3]);
        n.op_with("ReduceProd", &["layer", &axes], [int("keepdims", 0)])
    }),
    (reduce_sum_square, "ReduceSumSquare", -2.0, 2.0, |n| {
        let axes = n.int64s(&[2, 3]);
        n.op("ReduceSumSquare", &["layer", &axes])
    }),
    (reduce_max, "ReduceMax", -2.0, 2.0, |n| {
        let axes = n.int64s(&[2, 3]);
        n.op("ReduceMax", &["layer", &axes])
    }),
    (reduce_mean_without_keepdims, "ReduceMean", -2.0, 2.0, |n| {
        let axes = n.int64s(&[2, -1]);
        n.op_with("ReduceMean", &["layer", &axes], [int("keepdims", 0)])
    }),
    (reduce_mean_with_empty_axes, "ReduceMean", -2.0, 2.0, |n| {
        // An empty list of axes means all of them.
        let (flat, none) = (n.op_with("Flatten", &["layer"], [int("axis", 1)]), n.int64s(&[]));
        let turned = n.op("Transpose", &[&flat]);
        let all = n.op("ReduceMean", &[&turned, &none]);
        n.op("Mul", &[&flat, &all])
    }),
    (reduce_l1_over_all_axes, "ReduceL1", -2.0, 2.0, |n| n.op("ReduceL1", &["layer"])),
    (reduce_sum, "ReduceSum", -2.0, 2.0, |n| {
        let axes = n.int64s(&[1]);
        let squared = n.op("Mul", &["layer", "layer"]);
        n.op("ReduceSum", &[&squared, &axes])
    }),
];
