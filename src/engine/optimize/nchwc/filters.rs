//! Reorders filters for the runtime's NCHWc convolutions.
//!
//! The reordering is written as nodes, which the runtime evaluates once when it loads a program.

use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

/// The layout of a filter that is stored as `[out, in, kh, kw]`, named as in ONNX Runtime's MLAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterLayout {
    /// `OIHWBiBo`: input and output in NCHWc.
    Oihwbibo,
    /// The transposed filter of a 1×1 convolution in `OIHWBiBo`: `out` and `in` are swapped.
    OihwbiboTransposed,
    /// `OIHWBo`: an image of a few channels in NCHW to NCHWc, or a depthwise filter.
    Oihwbo,
}

/// `channels` rounded up to whole blocks.
pub(crate) const fn padded(channels: i64, block: i64) -> i64 {
    (channels + block - 1) / block * block
}

/// The nodes and constants that reorder the filter `source`. The last node's output is `name`.
pub(crate) fn reorder(
    source: &str,
    name: &str,
    sizes: [i64; 4],
    layout: FilterLayout,
    block: i64,
) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let [outs, ins, height, width] = sizes;
    let padded = |channels| padded(channels, block);
    let padded_size = match layout {
        FilterLayout::Oihwbo => [padded(outs), ins],
        FilterLayout::Oihwbibo | FilterLayout::OihwbiboTransposed => [padded(outs), padded(ins)],
    };
    let part = |what: &str| format!("{name}/{what}");
    let (mut nodes, mut constants) = (Vec::new(), Vec::new());
    let mut constant = |what: &str, values: &[i64]| {
        constants.push(TensorProto::int64(&part(what), &[values.len() as i64], values));
        part(what)
    };
    let mut last = source.to_owned();
    if padded_size != [outs, ins] {
        let pads =
            constant("pads", &[0, 0, 0, 0, padded_size[0] - outs, padded_size[1] - ins, 0, 0]);
        nodes.push(NodeProto::new("Pad", &[&last, &pads], &[&part("padded")]));
        last = part("padded");
    }
    let (split, perm, declared): (Vec<i64>, &[i64], [i64; 2]) = match layout {
        FilterLayout::Oihwbo => {
            (vec![padded_size[0] / block, block, ins, height, width], &[0, 2, 3, 4, 1], padded_size)
        }
        FilterLayout::Oihwbibo => (
            vec![padded_size[0] / block, block, padded_size[1] / block, block, height, width],
            &[0, 2, 4, 5, 3, 1],
            padded_size,
        ),
        FilterLayout::OihwbiboTransposed => (
            vec![padded_size[0] / block, block, padded_size[1] / block, block],
            &[2, 0, 1, 3],
            [padded_size[1], padded_size[0]],
        ),
    };
    let split = constant("split", &split);
    let declared = constant("declared", &[declared[0], declared[1], height, width]);
    nodes.push(NodeProto::new("Reshape", &[&last, &split], &[&part("blocks")]));
    let transpose = NodeProto::new("Transpose", &[&part("blocks")], &[&part("reordered")]);
    nodes.push(transpose.with(AttributeProto::ints("perm", perm)));
    nodes.push(NodeProto::new("Reshape", &[&part("reordered"), &declared], &[name]));
    (nodes, constants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// ONNX Runtime refuses a graph that defines a name twice.
    #[test]
    fn every_tensor_of_a_reordering_has_a_name_of_its_own() {
        for layout in
            [FilterLayout::Oihwbibo, FilterLayout::OihwbiboTransposed, FilterLayout::Oihwbo]
        {
            let (nodes, constants) = reorder("w", "reordered", [20, 36, 1, 1], layout, 16);
            let outputs = nodes.iter().flat_map(|node| &node.output).map(String::as_str);
            let names: Vec<&str> = outputs.chain(constants.iter().map(TensorProto::name)).collect();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        }
    }
}
