//! Convolutions in blocks, and what becomes part of one: a ReLU, an addition.

use super::filters::{Arrangement, filled};
use super::writer::{Maps, Size, Writer, in_blocks, of_runtime};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, NodeProto};

impl Writer<'_> {
    /// A convolution, perhaps with the ReLU that alone reads it.
    pub(crate) fn convolution(
        &mut self,
        node: &NodeProto,
        relu: Option<&NodeProto>,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let (input, source) = (node.input_name(0)?, node.input_name(1)?);
        let sizes @ [outs, ins, height, width] = self.sizes(source)?;
        let group = node.int("group", 1);
        let known = self.maps(input).cloned();
        let (read, arrangement) = match &known {
            Some(maps) if group == 1 && maps.channels == ins => {
                (in_blocks(input), Arrangement::Both)
            }
            Some(maps) if [group, outs] == [maps.channels; 2] && ins == 1 => {
                (in_blocks(input), Arrangement::Out)
            }
            None if group == 1 && ins < self.lanes => (input.to_owned(), Arrangement::Out),
            _ => return None,
        };
        if let Some(bias) = node.input_name(2) {
            self.weights.get(bias)?;
        }
        let mut inputs = vec![read, self.filter(source, sizes, arrangement, nodes)];
        inputs.extend(node.input_name(2).map(|bias| self.bias(bias, outs, nodes)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = &relu.unwrap_or(node).output[0];
        let mut made = of_runtime("Conv", &inputs, &in_blocks(output));
        let others = node.attribute.iter().filter(|attribute| attribute.name() != "group");
        made.attribute = others.cloned().collect();
        made = made.with(AttributeProto::int(
            "group",
            if group == 1 { 1 } else { filled(group, self.lanes) },
        ));
        if relu.is_some() {
            made = made.with(AttributeProto::string("activation", "Relu"));
        }
        nodes.push(made);
        let kept = known.filter(|_| keeps_size(node, [height, width])).map(|maps| maps.size);
        self.wrote(
            output,
            Maps { channels: outs, size: kept.unwrap_or_else(|| Size::Like(output.clone())) },
        )
    }

    /// A number for every channel, and zeros for what fills the last block.
    fn bias(&mut self, source: &str, outs: i64, nodes: &mut Vec<NodeProto>) -> String {
        let wide = filled(outs, self.lanes);
        if wide == outs {
            return source.to_owned();
        }
        let name = in_blocks(&format!("bias/{source}"));
        if self.is_new(&name) {
            let pads = self.constant(format!("{name}/pads"), &[0, wide - outs]);
            nodes.push(NodeProto::new("Pad", &[source, &pads], &[&name]));
        }
        name
    }

    /// A ReLU that alone reads a convolution.
    pub(crate) fn activated(
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

    /// An addition that alone reads a convolution: the convolution adds to what is there.
    pub(crate) fn added(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let [a, b] = node.input.as_slice() else { return None };
        let maps = self.maps(a).filter(|maps| self.maps(b) == Some(maps))?.clone();
        let made_by = |tensor: &str| {
            let made = nodes.iter().rev().find(|made| made.output[0] == in_blocks(tensor))?;
            (made.domain() == super::RUNTIME
                && made.op() == "Conv"
                && graph_index.sole_consumer(tensor).is_some())
            .then(|| made.clone())
        };
        let (mut made, other) = match (made_by(a), made_by(b)) {
            (_, Some(made)) => (made, a),
            (Some(made), None) => (made, b),
            (None, None) => return None,
        };
        // A ReLU comes after the addition.
        if made.input.len() > 3 || made.attribute("activation").is_some() {
            return None;
        }
        made.input.resize(3, String::new());
        made.input.push(in_blocks(other));
        made.output = vec![in_blocks(&node.output[0])];
        made.name = Some(made.output[0].clone());
        nodes.push(made);
        self.wrote(&node.output[0], maps)
    }

    /// What carries a gradient back through a convolution of 1×1 as a product of matrices; `node`
    /// gives its result the shape of maps.
    pub(crate) fn pointwise_back(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let made_by = |tensor: Option<&str>, op: &str| {
            graph_index.producer(tensor?).filter(|node| node.is(op))
        };
        let product = made_by(node.input_name(0), "MatMul")?;
        let turned = made_by(product.input_name(0), "Transpose")?;
        let matrix = made_by(turned.input_name(0), "Reshape")?;
        let rows = made_by(product.input_name(1), "Reshape")?;
        let (input, source) = (rows.input_name(0)?, matrix.input_name(0)?);
        let sizes @ [outs, ins, 1, 1] = self.sizes(source)? else { return None };
        let &[0, channels, height, width] = self.integers(node.input_name(1))?.as_slice() else {
            return None;
        };
        let fits = channels == ins
            && self.integers(matrix.input_name(1)) == Some(vec![outs, ins])
            && turned.ints("perm") == Some(&[1, 0])
            && self.integers(rows.input_name(1)) == Some(vec![0, outs, -1]);
        if !fits || self.maps(input).map_or(outs % self.lanes != 0, |maps| maps.channels != outs) {
            return None;
        }
        if self.maps(input).is_none() {
            self.turn(input, outs, nodes);
        }
        let filter = self.filter(source, sizes, Arrangement::Back, nodes);
        let output = &node.output[0];
        let made = of_runtime("Conv", &[&in_blocks(input), &filter], &in_blocks(output));
        let pair = |name: &str, value: i64| AttributeProto::ints(name, [value; 2]);
        let made =
            made.with(AttributeProto::int("group", 1)).with(AttributeProto::ints("pads", [0; 4]));
        nodes.push(
            made.with(pair("kernel_shape", 1)).with(pair("strides", 1)).with(pair("dilations", 1)),
        );
        self.wrote(output, Maps { channels: ins, size: Size::Known([height, width]) })
    }
}

/// Whether a convolution with a kernel of this size makes maps as large as those that it is given.
fn keeps_size(node: &NodeProto, kernel: [i64; 2]) -> bool {
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
