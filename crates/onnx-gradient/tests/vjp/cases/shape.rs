//! Element types, shapes, layouts and resampling.

use super::{int, ints, string};

cases![
    (resize_nearest, "Resize", -2.0, 2.0, |n| {
        let scales = n.floats(&[1.0, 1.0, 2.0, 2.0]);
        let nearest = [("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")];
        let attributes = nearest.map(|(name, value)| string(name, value));
        n.op_with("Resize", &["layer", "", &scales], attributes.to_vec())
    }),
    (resize_linear_to_sizes, "Resize", -2.0, 2.0, |n| {
        let sizes = n.int64s(&[4, 9]);
        let linear = [string("mode", "linear"), ints("axes", &[2, 3])];
        n.op_with("Resize", &["layer", "", "", &sizes], linear)
    }),
    (resize_linear_with_a_rounded_output_size, "Resize", -2.0, 2.0, |n| {
        // The scale is not the ratio of the sizes, because the output size is rounded down.
        let scales = n.floats(&[1.0, 1.0, 1.3, 0.7]);
        n.op_with("Resize", &["layer", "", &scales], [string("mode", "linear")])
    }),
    (resize_cubic_align_corners, "Resize", -2.0, 2.0, |n| {
        let scales = n.floats(&[1.0, 1.0, 2.0, 3.0]);
        let align = string("coordinate_transformation_mode", "align_corners");
        n.op_with("Resize", &["layer", "", &scales], [string("mode", "cubic"), align])
    }),
    (cast, "Cast", -2.0, 2.0, |n| {
        let wide = n.op_with("Cast", &["layer"], [int("to", 11)]);
        let squared = n.op("Mul", &[&wide, &wide]);
        n.op_with("Cast", &[&squared], [int("to", 1)])
    }),
    (cast_like, "CastLike", -2.0, 2.0, |n| {
        let wide = n.op_with("Cast", &["layer"], [int("to", 11)]);
        let squared = n.op("Mul", &[&wide, &wide]);
        n.op("CastLike", &[&squared, "layer"])
    }),
    (depth_to_space_dcr, "DepthToSpace", -2.0, 2.0, |n| {
        let weight = n.weights(&[8, 3, 1, 1]);
        let wide = n.op("Conv", &["layer", &weight]);
        n.op_with("DepthToSpace", &[&wide], [int("blocksize", 2)])
    }),
    (depth_to_space_crd, "DepthToSpace", -2.0, 2.0, |n| {
        let weight = n.weights(&[8, 3, 1, 1]);
        let wide = n.op("Conv", &["layer", &weight]);
        n.op_with("DepthToSpace", &[&wide], [int("blocksize", 2), string("mode", "CRD")])
    }),
    (dropout, "Dropout", -2.0, 2.0, |n| n.op("Dropout", &["layer"])),
    (expand, "Expand", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        let shape = n.int64s(&[1, 3, 4, 2]);
        n.op("Expand", &[&mean, &shape])
    }),
    (flatten, "Flatten", -2.0, 2.0, |n| n.op_with("Flatten", &["layer"], [int("axis", 1)])),
    (identity, "Identity", -2.0, 2.0, |n| n.op("Identity", &["layer"])),
    (reshape, "Reshape", -2.0, 2.0, |n| {
        let shape = n.int64s(&[0, 5, -1]);
        n.op("Reshape", &["layer", &shape])
    }),
    (space_to_depth, "SpaceToDepth", -2.0, 2.0, |n| {
        let (from, to, axes) = (n.int64s(&[0]), n.int64s(&[4]), n.int64s(&[3]));
        let even = n.op("Slice", &["layer", &from, &to, &axes]);
        n.op_with("SpaceToDepth", &[&even], [int("blocksize", 2)])
    }),
    (space_to_depth_crd, "SpaceToDepth", -2.0, 2.0, |n| {
        let weight = n.weights(&[4, 3, 1, 2]);
        let even = n.op("Conv", &["layer", &weight]);
        let mode = string("mode", "CRD");
        n.op_with("SpaceToDepth", &[&even], [int("blocksize", 2), mode])
    }),
    (squeeze, "Squeeze", -2.0, 2.0, |n| {
        let axes = n.int64s(&[2, 3]);
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Squeeze", &[&mean, &axes])
    }),
    (transpose, "Transpose", -2.0, 2.0, |n| {
        n.op_with("Transpose", &["layer"], [ints("perm", &[0, 2, 3, 1])])
    }),
    (unsqueeze, "Unsqueeze", -2.0, 2.0, |n| {
        let axes = n.int64s(&[-1, 1]);
        n.op("Unsqueeze", &["layer", &axes])
    }),
];
