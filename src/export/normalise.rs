//! Normalisation and resizing of maps `[N, h, w]` as ONNX operators: what
//! [`Normalizer`](crate::explain::normalise::Normalizer) does to each map.

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::AttributeProto;

use crate::explain::normalise::Normalizer;
use crate::explain::parameters::Normalization;

/// The axes of a map's positions.
const POSITIONS: [i64; 2] = [1, 2];

/// Writes the normalised maps, float32. A map without a positive value becomes zeros.
pub(super) fn normalise(builder: &mut GraphBuilder, normalizer: Normalizer, map: &str) -> String {
    let has_relu = normalizer.relu || normalizer.normalization != Normalization::MinMax;
    let map = if has_relu { builder.op("Relu", &[map]) } else { map.to_owned() };
    match normalizer.normalization {
        Normalization::None => map,
        Normalization::Max => {
            let max = extreme(builder, "ReduceMax", &map);
            let divisor = one_for_zero(builder, &max);
            builder.div(&map, &divisor)
        }
        Normalization::MinMax => {
            let (min, max) =
                (extreme(builder, "ReduceMin", &map), extreme(builder, "ReduceMax", &map));
            let risen = builder.sub(&map, &min);
            let range = builder.sub(&max, &min);
            let epsilon = builder.scalar(normalizer.epsilon);
            let range = builder.add(&range, &epsilon);
            let divisor = one_for_zero(builder, &range);
            builder.div(&risen, &divisor)
        }
    }
}

/// Writes the maps at another size, bilinear: with half-pixel centres, or with the corners of both
/// grids in the same places.
pub(super) fn resize(
    builder: &mut GraphBuilder,
    map: &str,
    [height, width]: [i64; 2],
    aligns_corners: bool,
) -> String {
    let coordinates = if aligns_corners { "align_corners" } else { "half_pixel" };
    let channel = builder.int64s(&[1]);
    let planes = builder.op("Unsqueeze", &[map, &channel]);
    let size = builder.int64s(&[height, width]);
    let attributes = [
        AttributeProto::ints("axes", [2, 3]),
        AttributeProto::string("mode", "linear"),
        AttributeProto::string("coordinate_transformation_mode", coordinates),
    ];
    let resized = builder.op_with("Resize", &[&planes, "", "", &size], attributes);
    builder.op("Squeeze", &[&resized, &channel])
}

/// The least or the largest value of each map, `[N, 1, 1]`.
fn extreme(builder: &mut GraphBuilder, op: &str, map: &str) -> String {
    let axes = builder.int64s(&POSITIONS);
    builder.op_with(op, &[map, &axes], [AttributeProto::int("keepdims", 1)])
}

fn one_for_zero(builder: &mut GraphBuilder, tensor: &str) -> String {
    let (zero, one) = (builder.scalar(0.0), builder.scalar(1.0));
    let is_zero = builder.op("Equal", &[tensor, &zero]);
    builder.op("Where", &[&is_zero, &one, tensor])
}
