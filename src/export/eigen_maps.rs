//! The projection onto the first principal component as ONNX operators over a batch: what
//! [`pca`](crate::explain::math::pca) does for one image, with the same start and the same end.

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{
    AttributeProto, GraphProto, TensorShapeProto, ValueInfoProto, data_type,
};

use super::maps::{double, one_for_zero};
use crate::explain::math::pca::{Centering, MAX_STEPS, TOLERANCE};

/// Writes `O·v₁` as maps `[N, h, w]` in 64 bits, for layers `[N, C, h, w]` in 64 bits.
pub(super) fn project(
    builder: &mut GraphBuilder,
    name: &str,
    layer: &str,
    [channels, height, width]: [usize; 3],
    centering: Centering,
) -> String {
    let positions = height * width;
    let matrix = builder.reshape(layer, &[-1, channels as i64, positions as i64]);
    let mut matrix = builder.transpose(&matrix, [0, 2, 1]);
    if centering == Centering::PerChannel {
        let mean = builder.reduce_mean(&matrix, &[1]);
        matrix = builder.sub(&matrix, &mean);
    }
    let turned = builder.transpose(&matrix, [0, 2, 1]);
    let mut projection = if positions <= channels {
        let gram = builder.op("MatMul", &[&matrix, &turned]);
        let vector = dominant_eigenvector(builder, name, &gram);
        // The eigenvalue v·G·v is the square of the singular value.
        let image = builder.op("MatMul", &[&gram, &vector]);
        let square = builder.mul(&vector, &image);
        let square = builder.reduce_sum(&square, &[1], true);
        let square = builder.op("Relu", &[&square]);
        let singular = builder.op("Sqrt", &[&square]);
        builder.mul(&vector, &singular)
    } else {
        let gram = builder.op("MatMul", &[&turned, &matrix]);
        let vector = dominant_eigenvector(builder, name, &gram);
        builder.op("MatMul", &[&matrix, &vector])
    };
    let sums = builder.reduce_sum(&matrix, &[2], true);
    let product = builder.mul(&projection, &sums);
    let product = builder.reduce_sum(&product, &[1], true);
    let zero = double(builder, 0.0);
    let is_turned = builder.op("Less", &[&product, &zero]);
    let negative = builder.op("Neg", &[&projection]);
    projection = builder.op("Where", &[&is_turned, &negative, &projection]);
    builder.reshape(&projection, &[-1, height as i64, width as i64])
}

/// The unit eigenvectors `[N, p, 1]` of the largest eigenvalues of matrices `[N, p, p]`. The steps
/// go on until the vector of every image stays where it is.
fn dominant_eigenvector(builder: &mut GraphBuilder, name: &str, gram: &str) -> String {
    let square = builder.mul(gram, gram);
    let lengths = builder.reduce_sum(&square, &[1], true);
    let longest = builder.op_with(
        "ArgMax",
        &[&lengths],
        [AttributeProto::int("axis", 2), AttributeProto::int("keepdims", 1)],
    );
    // A row of a symmetric matrix is its column.
    let rows = builder.op("Shape", &[&lengths]);
    let longest = builder.op("Expand", &[&longest, &rows]);
    let start =
        builder.op_with("GatherElements", &[gram, &longest], [AttributeProto::int("axis", 1)]);
    let start = builder.transpose(&start, [0, 2, 1]);
    let start = unit(builder, &start);

    let named = |what: &str| format!("camlens/eigen/{name}/{what}");
    let (index, condition, before) = (named("index"), named("condition"), named("before"));
    let mut step = GraphBuilder::sharing_constants(named(""));
    let image = step.op("MatMul", &[gram, &before]);
    let next = unit(&mut step, &image);
    let change = step.sub(&next, &before);
    let change = step.op("Abs", &[&change]);
    let change = step.op_with("ReduceMax", &[&change], [AttributeProto::int("keepdims", 0)]);
    let tolerance = double(&mut step, TOLERANCE);
    let goes_on = step.op("Greater", &[&change, &tolerance]);
    let vector = |name: &str| ValueInfoProto::typed(name, data_type::DOUBLE, None);
    let scalar = |name: &str, element| {
        ValueInfoProto::typed(name, element, Some(TensorShapeProto::default()))
    };
    let (nodes, constants) = step.finish();
    let body = GraphProto {
        name: Some("step of the power iteration".to_owned()),
        input: vec![
            scalar(&index, data_type::INT64),
            scalar(&condition, data_type::BOOL),
            vector(&before),
        ],
        output: vec![scalar(&goes_on, data_type::BOOL), vector(&next)],
        node: nodes,
        initializer: constants,
        ..GraphProto::default()
    };
    let steps = builder.int64(MAX_STEPS as i64);
    builder.op_with("Loop", &[&steps, "", &start], [AttributeProto::graph("body", body)])
}

/// Vectors `[N, p, 1]` divided by their lengths; zeros stay zeros.
fn unit(builder: &mut GraphBuilder, vector: &str) -> String {
    let square = builder.mul(vector, vector);
    let length = builder.reduce_sum(&square, &[1], true);
    let length = builder.op("Sqrt", &[&length]);
    let length = one_for_zero(builder, &length);
    builder.div(vector, &length)
}
