//! Writes convolutions in the NCHWc layout, with the ReLU or addition that the runtime fuses into
//! them.

use super::filters::{FilterLayout, padded};
use super::scope::{FeatureMaps, NCHWC_DOMAIN, SpatialSize, nchwc_name, runtime_node};
use super::writer::Writer;
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, NodeProto};

impl Writer<'_> {
    /// A convolution, optionally with the ReLU that is its only consumer.
    pub(crate) fn convolution(
        &mut self,
        node: &NodeProto,
        relu: Option<&NodeProto>,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let (input, source) = (node.input_name(0)?, node.input_name(1)?);
        let sizes @ [outs, ins, height, width] = self.filter_shape(source)?;
        let group = node.int("group", 1);
        let known = self.feature_maps(input).cloned();
        let (read, layout) = match &known {
            Some(maps) if group == 1 && maps.channels == ins => {
                (nchwc_name(input), FilterLayout::Oihwbibo)
            }
            Some(maps) if [group, outs] == [maps.channels; 2] && ins == 1 => {
                (nchwc_name(input), FilterLayout::Oihwbo)
            }
            None if group == 1 && ins < self.block => (input.to_owned(), FilterLayout::Oihwbo),
            _ => return None,
        };
        if let Some(bias) = node.input_name(2) {
            self.weights.get(bias)?;
        }
        let mut inputs = vec![read, self.filter(source, sizes, layout, nodes)];
        inputs.extend(node.input_name(2).map(|bias| self.bias(bias, outs, nodes)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = &relu.unwrap_or(node).output[0];
        let mut made = runtime_node("Conv", &inputs, &nchwc_name(output));
        let others = node.attribute.iter().filter(|attribute| attribute.name() != "group");
        made.attribute = others.cloned().collect();
        made = made.with(AttributeProto::int(
            "group",
            if group == 1 { 1 } else { padded(group, self.block) },
        ));
        if relu.is_some() {
            made = made.with(AttributeProto::string("activation", "Relu"));
        }
        nodes.push(made);
        let kept =
            known.filter(|_| keeps_spatial_size(node, [height, width])).map(|maps| maps.size);
        self.record(
            output,
            FeatureMaps {
                channels: outs,
                size: kept.unwrap_or_else(|| SpatialSize::Like(output.clone())),
            },
        )
    }

    /// A bias, padded with zeros to whole blocks.
    fn bias(&mut self, source: &str, outs: i64, nodes: &mut Vec<NodeProto>) -> String {
        let padded_outs = padded(outs, self.block);
        if padded_outs == outs {
            return source.to_owned();
        }
        let name = nchwc_name(&format!("bias/{source}"));
        if self.mark_new(&name) {
            let pads = self.constant(format!("{name}/pads"), &[0, padded_outs - outs]);
            nodes.push(NodeProto::new("Pad", &[source, &pads], &[&name]));
        }
        name
    }

    /// A ReLU that is the only consumer of a convolution.
    pub(crate) fn conv_relu(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let input = node.input_name(0)?;
        let conv = graph_index.producer(input).filter(|conv| conv.is("Conv"))?;
        graph_index.sole_consumer(input)?;
        self.convolution(conv, Some(node), nodes)
    }

    /// An addition that is the only consumer of a convolution: the convolution accumulates onto the
    /// other operand.
    pub(crate) fn conv_add(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let [a, b] = node.input.as_slice() else { return None };
        let maps = self.feature_maps(a).filter(|maps| self.feature_maps(b) == Some(maps))?.clone();
        let produced_by = |tensor: &str| {
            let made = nodes.iter().rev().find(|made| made.output[0] == nchwc_name(tensor))?;
            (made.domain() == NCHWC_DOMAIN
                && made.op() == "Conv"
                && graph_index.sole_consumer(tensor).is_some())
            .then(|| made.clone())
        };
        let (mut made, other) = match (produced_by(a), produced_by(b)) {
            (_, Some(made)) => (made, a),
            (Some(made), None) => (made, b),
            (None, None) => return None,
        };
        // The ReLU belongs after the addition.
        if made.input.len() > 3 || made.attribute("activation").is_some() {
            return None;
        }
        made.input.resize(3, String::new());
        made.input.push(nchwc_name(other));
        made.output = vec![nchwc_name(&node.output[0])];
        made.name = Some(made.output[0].clone());
        nodes.push(made);
        self.record(&node.output[0], maps)
    }

    /// The transpose of a 1×1 convolution, which the backward pass writes as a matrix product.
    /// `node` is the `Reshape` that gives the product the shape of feature maps.
    pub(crate) fn pointwise_transposed(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let produced_by = |tensor: Option<&str>, op: &str| {
            graph_index.producer(tensor?).filter(|node| node.is(op))
        };
        let product = produced_by(node.input_name(0), "MatMul")?;
        let transpose = produced_by(product.input_name(0), "Transpose")?;
        let matrix = produced_by(transpose.input_name(0), "Reshape")?;
        let rows = produced_by(product.input_name(1), "Reshape")?;
        let (input, source) = (rows.input_name(0)?, matrix.input_name(0)?);
        let sizes @ [outs, ins, 1, 1] = self.filter_shape(source)? else { return None };
        let &[0, channels, height, width] = self.integers(node.input_name(1))?.as_slice() else {
            return None;
        };
        let fits = channels == ins
            && self.integers(matrix.input_name(1)) == Some(vec![outs, ins])
            && transpose.ints("perm") == Some(&[1, 0])
            && self.integers(rows.input_name(1)) == Some(vec![0, outs, -1]);
        if !fits
            || self.feature_maps(input).map_or(outs % self.block != 0, |maps| maps.channels != outs)
        {
            return None;
        }
        if self.feature_maps(input).is_none() {
            self.reorder_input(input, outs, nodes);
        }
        let filter = self.filter(source, sizes, FilterLayout::OihwbiboTransposed, nodes);
        let output = &node.output[0];
        let made = runtime_node("Conv", &[&nchwc_name(input), &filter], &nchwc_name(output));
        let pair = |name: &str, value: i64| AttributeProto::ints(name, [value; 2]);
        let made =
            made.with(AttributeProto::int("group", 1)).with(AttributeProto::ints("pads", [0; 4]));
        nodes.push(
            made.with(pair("kernel_shape", 1)).with(pair("strides", 1)).with(pair("dilations", 1)),
        );
        self.record(
            output,
            FeatureMaps { channels: ins, size: SpatialSize::Known([height, width]) },
        )
    }
}

/// Whether a convolution keeps height and width.
fn keeps_spatial_size(node: &NodeProto, kernel: [i64; 2]) -> bool {
    let list = |name: &str, default: i64, count: usize| {
        node.ints(name).map_or_else(|| vec![default; count], <[i64]>::to_vec)
    };
    let (strides, dilations, pads) =
        (list("strides", 1, 2), list("dilations", 1, 2), list("pads", 0, 4));
    node.string("auto_pad", "NOTSET") == "NOTSET"
        && strides == [1, 1]
        && pads.len() == 4
        && (0..2).all(|axis| {
            dilations.get(axis).is_some_and(|dilation| {
                pads[axis] + pads[axis + 2] == dilation * (kernel[axis] - 1)
            })
        })
}
