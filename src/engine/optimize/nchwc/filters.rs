//! Filters as the runtime's convolutions on blocks want them, computed from those of the model by
//! nodes that the runtime works out once, when it loads a program.

use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

/// In which order a filter's numbers are wanted, `[out, in, kh, kw]` being what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// From blocks to blocks.
    Both,
    /// The same, the other way: `out` and `in` change places. Filters are 1×1.
    Back,
    /// From an image with a few channels, in the ordinary order, to blocks; or a filter for every
    /// channel.
    Out,
}

/// So many channels as fill their blocks.
pub(crate) const fn filled(channels: i64, lanes: i64) -> i64 {
    (channels + lanes - 1) / lanes * lanes
}

/// The nodes and constants that make a filter out of `source` of these sizes, with so many channels
/// in a block, the last node's output being `name`.
pub(crate) fn arrange(
    source: &str,
    name: &str,
    sizes: [i64; 4],
    arrangement: Arrangement,
    lanes: i64,
) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let [outs, ins, height, width] = sizes;
    let filled = |channels| filled(channels, lanes);
    let wide = match arrangement {
        Arrangement::Out => [filled(outs), ins],
        Arrangement::Both | Arrangement::Back => [filled(outs), filled(ins)],
    };
    let part = |what: &str| format!("{name}/{what}");
    let (mut nodes, mut constants) = (Vec::new(), Vec::new());
    let mut constant = |what: &str, values: &[i64]| {
        constants.push(TensorProto::int64(&part(what), &[values.len() as i64], values));
        part(what)
    };
    let mut last = source.to_owned();
    if wide != [outs, ins] {
        let pads = constant("pads", &[0, 0, 0, 0, wide[0] - outs, wide[1] - ins, 0, 0]);
        nodes.push(NodeProto::new("Pad", &[&last, &pads], &[&part("filled")]));
        last = part("filled");
    }
    let (split, order, told): (Vec<i64>, &[i64], [i64; 2]) = match arrangement {
        Arrangement::Out => {
            (vec![wide[0] / lanes, lanes, ins, height, width], &[0, 2, 3, 4, 1], wide)
        }
        Arrangement::Both => (
            vec![wide[0] / lanes, lanes, wide[1] / lanes, lanes, height, width],
            &[0, 2, 4, 5, 3, 1],
            wide,
        ),
        Arrangement::Back => (
            vec![wide[0] / lanes, lanes, wide[1] / lanes, lanes],
            &[2, 0, 1, 3],
            [wide[1], wide[0]],
        ),
    };
    let split = constant("split", &split);
    let told = constant("told", &[told[0], told[1], height, width]);
    nodes.push(NodeProto::new("Reshape", &[&last, &split], &[&part("blocks")]));
    let turn = NodeProto::new("Transpose", &[&part("blocks")], &[&part("turned")]);
    nodes.push(turn.with(AttributeProto::ints("perm", order)));
    nodes.push(NodeProto::new("Reshape", &[&part("turned"), &told], &[name]));
    (nodes, constants)
}
