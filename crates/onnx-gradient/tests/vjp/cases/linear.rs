//! Matrix products.

use super::{HEIGHT, WIDTH, float, int, ints, string};

cases![
    (gemm_with_constant_weights, "Gemm", -1.0, 1.0, |n| {
        let rows = n.op_with("Flatten", &["layer"], [int("axis", 1)]);
        let (weight, bias) = (n.weights(&[(3 * HEIGHT * WIDTH) as i64, 7]), n.weights(&[7]));
        let scale = float("alpha", 0.7);
        let hidden = n.op_with("Gemm", &[&rows, &weight, &bias], [scale]);
        let weight = n.weights(&[4, 7]);
        n.op_with("Gemm", &[&hidden, &weight], [int("transB", 1)])
    }),
    (gemm_with_all_operands_from_the_layer, "Gemm", -1.0, 1.0, |n| {
        // The batch becomes a matrix axis, so images are run one by one.
        let shape = n.int64s(&[-1, 6]);
        let rows = n.op("Reshape", &["layer", &shape]);
        let both = n.op_with("Gemm", &[&rows, &rows], [int("transA", 1)]);
        let other = n.op_with("Gemm", &[&rows, &both, &rows], [float("beta", 0.5)]);
        let weight = n.weights(&[3, 6]);
        let last = n.op_with("Gemm", &[&weight, &other], [int("transB", 1)]);
        let turned = n.op_with("Gemm", &[&other, &weight], [int("transB", 1)]);
        let shape = n.int64s(&[1, -1]);
        let (last, turned) =
            (n.op("Reshape", &[&last, &shape]), n.op("Reshape", &[&turned, &shape]));
        n.op_with("Concat", &[&last, &turned], [int("axis", 1)])
    }),
    (einsum_attention_products, "Einsum", -1.0, 1.0, |n| {
        let equation = |text: &str| [string("equation", text)];
        let scores = n.op_with("Einsum", &["layer", "layer"], equation("bchw, bcvw -> bchv"));
        n.op_with("Einsum", &[&scores, "layer"], equation("bchv,bcvw->bhcw"))
    }),
    (einsum_with_a_letter_that_is_summed_over, "Einsum", -1.0, 1.0, |n| {
        let weight = n.weights(&[3, 4]);
        n.op_with("Einsum", &["layer", &weight], [string("equation", "bchw,ck->bkw")])
    }),
    (matmul_by_a_vector, "MatMul", -1.0, 1.0, |n| {
        let weight = n.weights(&[WIDTH as i64]);
        n.op("MatMul", &["layer", &weight])
    }),
    (matmul_by_a_matrix, "MatMul", -1.0, 1.0, |n| {
        let weight = n.weights(&[WIDTH as i64, 4]);
        n.op("MatMul", &["layer", &weight])
    }),
    (matmul_batched_and_broadcast_from_the_left, "MatMul", -1.0, 1.0, |n| {
        // The product of attention, and a weight that is broadcast over the batch.
        let turned = n.op_with("Transpose", &["layer"], [ints("perm", &[0, 1, 3, 2])]);
        let product = n.op("MatMul", &["layer", &turned]);
        let weight = n.weights(&[4, HEIGHT as i64]);
        n.op("MatMul", &[&weight, &product])
    }),
];
