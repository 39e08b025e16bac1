//! Operators that take parts of a tensor or put parts together.

use onnx_gradient::proto::NodeProto;

use super::{HEIGHT, Network, WIDTH, int, ints, string};

cases![
    (concat_along_channels, "Concat", -2.0, 2.0, |n| {
        let doubled = n.op("Mul", &["layer", "layer"]);
        n.op_with("Concat", &["layer", &doubled, "layer"], [int("axis", -3)])
    }),
    (concat_along_the_batch, "Concat", -2.0, 2.0, |n| {
        // The same images twice, split again afterwards.
        let doubled = n.op("Mul", &["layer", "layer"]);
        let both = n.op_with("Concat", &["layer", &doubled], [int("axis", 0)]);
        let shape = n.int64s(&[2, -1, 3, HEIGHT as i64, WIDTH as i64]);
        let both = n.op("Reshape", &[&both, &shape]);
        n.op_with("Transpose", &[&both], [ints("perm", &[1, 0, 2, 3, 4])])
    }),
    (cum_sum, "CumSum", -2.0, 2.0, |n| {
        let axis = n.int64(2);
        let once = n.op("CumSum", &["layer", &axis]);
        let axis = n.int64(-1);
        n.op_with("CumSum", &[&once, &axis], [int("exclusive", 1), int("reverse", 1)])
    }),
    (gather_one_index_as_scalar_and_vector, "Gather", -2.0, 2.0, |n| {
        // A positive and a negative index; a vector of one element and a scalar.
        let (first, last, axes) = (n.int64s(&[1]), n.int64(-2), n.int64s(&[3]));
        let row = n.op_with("Gather", &["layer", &first], [int("axis", 2)]);
        let column = n.op_with("Gather", &["layer", &last], [int("axis", -1)]);
        let column = n.op("Unsqueeze", &[&column, &axes]);
        n.op("Mul", &[&row, &column])
    }),
    (gather_along_an_axis_before_the_batch, "Gather", -2.0, 2.0, |n| {
        // As exporters split q, k and v.
        let shape = n.int64s(&[0, 3, 1, -1]);
        let rows = n.op("Reshape", &["layer", &shape]);
        let turned = n.op_with("Transpose", &[&rows], [ints("perm", &[1, 0, 2, 3])]);
        let (first, last) = (n.int64(0), n.int64(2));
        let a = n.op("Gather", &[&turned, &first]);
        let b = n.op("Gather", &[&turned, &last]);
        n.op("Mul", &[&a, &b])
    }),
    (gather_repeated_indices, "Gather", -2.0, 2.0, |n| {
        let indices = n.int64s(&[2, 0, 2]);
        n.op_with("Gather", &["layer", &indices], [int("axis", 1)])
    }),
    (gather_elements, "GatherElements", -2.0, 2.0, |n| {
        let rows = n.op_with("Flatten", &["layer"], [int("axis", 1)]);
        let shape = n.op("Shape", &[&rows]);
        let first = n.int64(0);
        let count = n.op("Gather", &[&shape, &first]);
        let indices = n.int64s(&[5, 7, 5]);
        let axes = n.int64s(&[0]);
        let indices = n.op("Unsqueeze", &[&indices, &axes]);
        let width = n.int64s(&[3]);
        let count = n.op("Unsqueeze", &[&count, &axes]);
        let wanted = n.op_with("Concat", &[&count, &width], [int("axis", 0)]);
        let indices = n.op("Expand", &[&indices, &wanted]);
        n.op_with("GatherElements", &[&rows, &indices], [int("axis", 1)])
    }),
    (gather_nd, "GatherND", -2.0, 2.0, |n| {
        // Row and column indices, applied to every channel of every image.
        let order = ints("perm", &[2, 3, 0, 1]);
        let positions_first = n.op_with("Transpose", &["layer"], [order]);
        let flat = n.int64s(&[1, 2, 3, 3, 5, 0, 1, 2]);
        let pairs = n.int64s(&[4, 2]);
        let indices = n.op("Reshape", &[&flat, &pairs]);
        let picked = n.op("GatherND", &[&positions_first, &indices]);
        n.op_with("Transpose", &[&picked], [ints("perm", &[1, 2, 0])])
    }),
    (pad_constant, "Pad", -2.0, 2.0, |n| {
        let pads = n.int64s(&[0, 0, 1, 2, 0, 0, 0, 1]);
        n.op("Pad", &["layer", &pads])
    }),
    (pad_reflect, "Pad", -2.0, 2.0, |n| {
        let pads = n.int64s(&[0, 0, 1, 2, 0, 0, 3, 1]);
        n.op_with("Pad", &["layer", &pads], [string("mode", "reflect")])
    }),
    (pad_reflect_with_a_value_that_it_does_not_use, "Pad", -2.0, 2.0, |n| {
        let pads = n.int64s(&[0, 0, 1, 2, 0, 0, 3, 1]);
        let value = n.float32s(&[], &[7.0]);
        n.op_with("Pad", &["layer", &pads, &value], [string("mode", "reflect")])
    }),
    (pad_computed_pads_along_some_axes, "Pad", -2.0, 2.0, |n| {
        // The graph computes the pads from a shape; the second is negative.
        let shape = n.op("Shape", &["layer"]);
        let three = n.int64s(&[3]);
        let width = n.op("Gather", &[&shape, &three]);
        let two = n.int64s(&[2]);
        let less = n.op("Sub", &[&two, &width]);
        let (pads, axes) = (n.op_with("Concat", &[&two, &less], [int("axis", 0)]), n.int64s(&[-2]));
        n.op("Pad", &["layer", &pads, "", &axes])
    }),
    (scatter_elements, "ScatterElements", -2.0, 2.0, |n| {
        let flat = n.int64s(&[0, 2]);
        let shape = n.int64s(&[1, 3, HEIGHT as i64, 2]);
        let indices = n.op("Expand", &[&flat, &shape]);
        let (rows, updates) = one_image(n, &indices);
        let data = n.op("Mul", &[&rows, &rows]);
        n.op_with("ScatterElements", &[&data, &indices, &updates], [int("axis", 3)])
    }),
    (scatter_elements_reduction_add, "ScatterElements", -2.0, 2.0, |n| {
        let flat = n.int64s(&[1, 1]);
        let shape = n.int64s(&[1, 3, HEIGHT as i64, 2]);
        let indices = n.op("Expand", &[&flat, &shape]);
        let (rows, updates) = one_image(n, &indices);
        let data = n.op("Mul", &[&rows, &rows]);
        let add = string("reduction", "add");
        n.op_with("ScatterElements", &[&data, &indices, &updates], [int("axis", 3), add])
    }),
    (scatter_nd, "ScatterND", -2.0, 2.0, |n| {
        // Writes two columns into two others, for all channels of one image.
        let order = ints("perm", &[3, 0, 1, 2]);
        let columns = n.op_with("Transpose", &["layer"], [order]);
        let (flat, shape) = (n.int64s(&[4, 1]), n.int64s(&[2, 1]));
        let indices = n.op("Reshape", &[&flat, &shape]);
        let two = n.int64s(&[0, 3]);
        let updates = n.op("Gather", &[&columns, &two]);
        let data = n.op("Mul", &[&columns, &columns]);
        let scattered = n.op("ScatterND", &[&data, &indices, &updates]);
        n.op_with("Transpose", &[&scattered], [ints("perm", &[1, 2, 3, 0])])
    }),
    (slice_that_keeps_the_whole_batch, "Slice", -2.0, 2.0, |n| {
        // The batch axis is named, but nothing is cut from it.
        let (from, to) = (n.int64s(&[0, 2]), n.int64s(&[i64::MAX, 4]));
        let (axes, steps) = (n.int64s(&[0, 3]), n.int64s(&[1, 1]));
        n.op("Slice", &["layer", &from, &to, &axes, &steps])
    }),
    (top_k, "TopK", -2.0, 2.0, |n| {
        let count = n.int64s(&[2]);
        n.nodes.push(
            NodeProto::new("TopK", &["layer", &count], &["largest", "indices"])
                .with(int("axis", 2)),
        );
        n.op("Mul", &["largest", "largest"])
    }),
    (trilu, "Trilu", -2.0, 2.0, |n| {
        let diagonal = n.int64(-1);
        n.op_with("Trilu", &["layer", &diagonal], [int("upper", 0)])
    }),
    (slice_with_negative_bounds, "Slice", -2.0, 2.0, |n| {
        let (from, to, axes) = (n.int64s(&[1, -4]), n.int64s(&[i64::MAX, -1]), n.int64s(&[2, 3]));
        n.op("Slice", &["layer", &from, &to, &axes])
    }),
    (slice_with_step_minus_2, "Slice", -2.0, 2.0, |n| {
        // Every second column, from the last.
        let (from, to, axes, step) =
            (n.int64s(&[-1]), n.int64s(&[i64::MIN]), n.int64s(&[3]), n.int64s(&[-2]));
        n.op("Slice", &["layer", &from, &to, &axes, &step])
    }),
    (split, "Split", -2.0, 2.0, |n| {
        // One part is unused.
        let sizes = n.int64s(&[2, 1, 3]);
        let names = ["part0", "part1", "part2"];
        n.nodes.push(NodeProto::new("Split", &["layer", &sizes], &names).with(int("axis", 2)));
        let first = n.op("Mul", &["part0", "part0"]);
        n.op_with("Concat", &[&first, "part2"], [int("axis", 2)])
    }),
    (tile, "Tile", -2.0, 2.0, |n| {
        let repeats = n.int64s(&[1, 2, 1, 3]);
        n.op("Tile", &["layer", &repeats])
    }),
];

/// The layer, and the elements of two columns of it. `indices` have a batch of 1, so images are run
/// one by one.
fn one_image(n: &mut Network, indices: &str) -> (String, String) {
    let updates = n.op_with("GatherElements", &["layer", indices], [int("axis", 3)]);
    (n.op("Identity", &["layer"]), updates)
}
