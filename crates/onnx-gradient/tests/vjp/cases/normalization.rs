//! Normalisations and softmax.

use super::{WIDTH, float, int, ints};

cases![
    (batch_normalization, "BatchNormalization", -2.0, 2.0, |n| {
        let (scale, bias, mean) = (n.weights(&[3]), n.weights(&[3]), n.weights(&[3]));
        let variance = n.positive(&[3]);
        n.op("BatchNormalization", &["layer", &scale, &bias, &mean, &variance])
    }),
    (group_normalization, "GroupNormalization", -2.0, 2.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let wide = n.op_with("Concat", &["layer", &squared, "layer", "layer"], [int("axis", 1)]);
        let (scale, bias) = (n.weights(&[2]), n.weights(&[2]));
        n.op_with("GroupNormalization", &[&wide, &scale, &bias], [int("num_groups", 2)])
    }),
    (instance_normalization, "InstanceNormalization", -2.0, 2.0, |n| {
        let (scale, bias) = (n.weights(&[3]), n.weights(&[3]));
        n.op("InstanceNormalization", &["layer", &scale, &bias])
    }),
    (layer_normalization, "LayerNormalization", -2.0, 2.0, |n| {
        let (scale, bias) = (n.weights(&[WIDTH as i64]), n.weights(&[WIDTH as i64]));
        n.op("LayerNormalization", &["layer", &scale, &bias])
    }),
    (lrn, "LRN", -2.0, 2.0, |n| {
        let squared = n.op("Mul", &["layer", "layer"]);
        let wide = n.op_with("Concat", &["layer", &squared], [int("axis", 1)]);
        let (alpha, beta) = (float("alpha", 0.5), float("beta", 0.6));
        let bias = float("bias", 1.3);
        n.op_with("LRN", &[&wide], [int("size", 3), alpha, beta, bias])
    }),
    (lp_normalization_p_2, "LpNormalization", -2.0, 2.0, |n| n.op_with(
        "LpNormalization",
        &["layer"],
        [int("axis", 1)]
    )),
    (lp_normalization_p_1, "LpNormalization", 0.5, 2.0, |n| {
        n.op_with("LpNormalization", &["layer"], [int("p", 1), int("axis", -1)])
    }),
    (mean_variance_normalization, "MeanVarianceNormalization", -2.0, 2.0, |n| {
        n.op_with("MeanVarianceNormalization", &["layer"], [ints("axes", &[2, 3])])
    }),
    (rms_normalization, "RMSNormalization", -2.0, 2.0, |n| {
        let scale = n.weights(&[WIDTH as i64]);
        n.op("RMSNormalization", &["layer", &scale])
    }),
    (softmax, "Softmax", -2.0, 2.0, |n| n.op_with("Softmax", &["layer"], [int("axis", 1)])),
    (log_softmax, "LogSoftmax", -2.0, 2.0, |n| n.op_with(
        "LogSoftmax",
        &["layer"],
        [int("axis", -1)]
    )),
];
