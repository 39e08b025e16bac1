//! Rewrites a model of opset 7 to 17 in opset 18, so that each vjp covers one form of its operator.
//!
//! Between these opsets some operators moved attributes to inputs, and `Softmax` changed its
//! meaning. Each change is one arm of `Upgrade::node`; operators that are not listed did not
//! change. Compare the outputs of the upgraded model with those of the original when it matters:
//! the conversion covers what exporters of image models write, not every corner of each operator.

use std::collections::HashSet;

use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::index::read_names;
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
};

/// The opset of upgraded models; newer models keep theirs.
pub const OPSET: i64 = 18;

/// The oldest opset that can be upgraded.
const OLDEST: i64 = 7;

/// The opset of the standard operators in a model.
#[must_use]
pub fn opset(model: &ModelProto) -> i64 {
    let standard = |import: &&OperatorSetIdProto| matches!(import.domain(), "" | "ai.onnx");
    model.opset_import.iter().find(standard).map_or(1, |import| import.version())
}

/// Rewrites a model of opset 7 or later to at least [`OPSET`]. The names of added tensors start
/// with `{scope}upgrade/`.
///
/// # Errors
/// [`Error::OpsetTooOld`], or [`Error::Unsupported`] for a node without an equivalent in
/// [`OPSET`]. The model may be partly rewritten then.
pub fn upgrade(model: &mut ModelProto, scope: &str) -> Result<(), Error> {
    let from = opset(model);
    if from >= OPSET {
        return Ok(());
    }
    if from < OLDEST {
        return Err(Error::OpsetTooOld { opset: from, required: OLDEST });
    }
    if let Some(graph) = &mut model.graph {
        upgrade_graph(graph, from, scope)?;
    }
    for import in
        model.opset_import.iter_mut().filter(|import| matches!(import.domain(), "" | "ai.onnx"))
    {
        import.version = Some(OPSET);
    }
    model.ir_version = Some(model.ir_version().max(8));
    Ok(())
}

fn upgrade_graph(graph: &mut GraphProto, from: i64, scope: &str) -> Result<(), Error> {
    let mut upgrade =
        Upgrade { from, scope, read: read_names(graph), builder: GraphBuilder::default() };
    for mut node in std::mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                upgrade_graph(inner, from, scope)?;
            }
        }
        if node.is_standard() {
            upgrade.node(node)?;
        } else {
            upgrade.builder.nodes.push(node);
        }
    }
    let (nodes, initializers) = upgrade.builder.finish();
    graph.node = nodes;
    graph.initializer.extend(initializers);
    Ok(())
}

/// The state of the pass for one graph.
struct Upgrade<'a> {
    from: i64,
    scope: &'a str,
    /// Tensors that are read: old exporters also name outputs that are not.
    read: HashSet<String>,
    builder: GraphBuilder,
}

impl Upgrade<'_> {
    fn node(&mut self, mut node: NodeProto) -> Result<(), Error> {
        let from = self.from;
        let op = node.op().to_owned();
        match op.as_str() {
            "Dropout" => {
                if node.output.get(1).is_some_and(|mask| self.read.contains(mask)) {
                    return Err(Error::unsupported(&node, "has a mask that is read"));
                }
                node =
                    NodeProto { op_type: Some("Identity".into()), attribute: Vec::new(), ..node };
                node.input.truncate(1);
                node.output.truncate(1);
            }
            "BatchNormalization" => {
                if node.take_attribute("spatial").is_some_and(|spatial| spatial.i == Some(0)) {
                    return Err(Error::unsupported(&node, "is not spatial"));
                }
                // In training mode, which exporters use to standardise weights, the other outputs
                // may be read; otherwise they have no meaning.
                if node.int("training_mode", 0) == 0 {
                    node.output.truncate(1);
                }
            }
            "Slice" if from < 10 => {
                for name in ["starts", "ends", "axes"] {
                    self.list_to_input(&mut node, name);
                }
            }
            "Clip" if from < 11 => {
                self.float_to_input(&mut node, "min");
                self.float_to_input(&mut node, "max");
            }
            "Pad" if from < 11 => {
                self.list_to_input(&mut node, "pads");
                self.float_to_input(&mut node, "value");
            }
            "Scatter" => node.op_type = Some("ScatterElements".into()),
            "TopK" if from < 10 => {
                let k = node.take_attribute("k").map_or(1, |k| k.i());
                let k = self.constant(&node, "k", |name| TensorProto::int64(name, &[1], &[k]));
                node.input.push(k);
            }
            "Upsample" | "Resize" if from < 11 => self.resize(&mut node),
            "Squeeze" | "Unsqueeze" | "ReduceSum" if from < 13 => {
                self.list_to_input(&mut node, "axes")
            }
            "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => {
                self.list_to_input(&mut node, "axes")
            }
            "Split" => {
                if from < 13 {
                    self.list_to_input(&mut node, "split");
                }
                if node.input_name(1).is_none() {
                    let parts = node.output.len() as i64;
                    node = node.with(AttributeProto::int("num_outputs", parts));
                }
            }
            "Softmax" | "LogSoftmax" | "Hardmax" if from < 13 => {
                self.flat_softmax(node);
                return Ok(());
            }
            _ => {}
        }
        self.builder.nodes.push(node);
        Ok(())
    }

    /// A name for a tensor that is added for a node.
    fn name(&self, node: &NodeProto, what: &str) -> String {
        let output = node.output.first().map_or("", String::as_str);
        format!("{}upgrade/{output}/{what}", self.scope)
    }

    fn constant(
        &mut self,
        node: &NodeProto,
        what: &str,
        tensor: impl FnOnce(&str) -> TensorProto,
    ) -> String {
        let name = self.name(node, what);
        self.builder.initializers.push(tensor(&name));
        name
    }

    fn list_to_input(&mut self, node: &mut NodeProto, attribute: &str) {
        let input = match node.take_attribute(attribute) {
            Some(list) => self.constant(node, attribute, |name| {
                TensorProto::int64(name, &[list.ints.len() as i64], &list.ints)
            }),
            None => String::new(),
        };
        node.input.push(input);
        trim(node);
    }

    fn float_to_input(&mut self, node: &mut NodeProto, attribute: &str) {
        let input = match node.take_attribute(attribute).and_then(|value| value.f) {
            Some(value) => {
                self.constant(node, attribute, |name| TensorProto::float32(name, &[], &[value]))
            }
            None => String::new(),
        };
        // A missing lower bound of Clip stays an empty input before the upper bound.
        node.input.push(input);
        if attribute != "min" {
            trim(node);
        }
    }

    /// `Upsample`, and `Resize` of opset 10, sample at floor(x / scale); the scales become input 2.
    fn resize(&mut self, node: &mut NodeProto) {
        let scales = match node.take_attribute("scales") {
            Some(list) => self.constant(node, "scales", |name| {
                TensorProto::float32(name, &[list.floats.len() as i64], &list.floats)
            }),
            None => node.input.get(1).cloned().unwrap_or_default(),
        };
        node.input.truncate(1);
        node.input.extend([String::new(), scales]);
        node.op_type = Some("Resize".into());
        node.attribute.push(AttributeProto::string("coordinate_transformation_mode", "asymmetric"));
        node.attribute.push(AttributeProto::string("nearest_mode", "floor"));
    }

    /// Before opset 13 `Softmax` took all axes from `axis` on as one.
    fn flat_softmax(&mut self, mut node: NodeProto) {
        let axis = node.take_attribute("axis").and_then(|axis| axis.i).unwrap_or(1);
        let input = node.input.first().cloned().unwrap_or_default();
        let output = node.output.first().cloned().unwrap_or_default();
        let [shape, flat, soft] = ["shape", "flat", "soft"].map(|what| self.name(&node, what));
        let axis = AttributeProto::int("axis", axis);
        self.builder.named_op(&shape, "Shape", &[&input], []);
        self.builder.named_op(&flat, "Flatten", &[&input], [axis]);
        node.input = vec![flat];
        node.output = vec![soft.clone()];
        node.attribute.push(AttributeProto::int("axis", 1));
        self.builder.nodes.push(node);
        self.builder.named_op(&output, "Reshape", &[&soft, &shape], []);
    }
}

/// Optional inputs at the end are left out, not named by an empty string.
fn trim(node: &mut NodeProto) {
    while node.input.last().is_some_and(String::is_empty) {
        node.input.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ValueInfoProto;

    fn upgraded(node: NodeProto, from: i64) -> Result<GraphProto, Error> {
        upgraded_with(node, from, &[])
    }

    fn upgraded_with(node: NodeProto, from: i64, outputs: &[&str]) -> Result<GraphProto, Error> {
        let output = outputs.iter().map(|name| ValueInfoProto::untyped(name)).collect();
        let mut model = ModelProto {
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(from) }],
            graph: Some(GraphProto { node: vec![node], output, ..Default::default() }),
            ..Default::default()
        };
        upgrade(&mut model, "test/")?;
        assert_eq!(opset(&model), OPSET);
        Ok(model.graph.unwrap_or_default())
    }

    #[test]
    fn axes_move_from_attribute_to_input() {
        let node =
            NodeProto::new("Squeeze", &["x"], &["y"]).with(AttributeProto::ints("axes", [2, 3]));
        let graph = upgraded(node, 7).unwrap();
        assert_eq!(graph.node[0].input, ["x", "test/upgrade/y/axes"]);
        assert!(graph.node[0].attribute.is_empty());
        assert_eq!(graph.initializer[0].to_int64s(), Some(vec![2, 3]));
    }

    #[test]
    fn clip_without_a_lower_bound_keeps_its_upper_bound_at_input_2() {
        let node = NodeProto::new("Clip", &["x"], &["y"]).with(AttributeProto::float("max", 6.0));
        let graph = upgraded(node, 7).unwrap();
        assert_eq!(graph.node[0].input, ["x", "", "test/upgrade/y/max"]);
    }

    #[test]
    fn softmax_before_opset_13_becomes_flatten_softmax_reshape() {
        let graph = upgraded(NodeProto::new("Softmax", &["x"], &["y"]), 9).unwrap();
        let ops: Vec<_> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Shape", "Flatten", "Softmax", "Reshape"]);
        assert_eq!(graph.node[3].output, ["y"]);
    }

    #[test]
    fn a_dropout_mask_is_unsupported_only_if_it_is_read() {
        let node = NodeProto {
            name: Some("drop".into()),
            ..NodeProto::new("Dropout", &["x"], &["y", "mask"])
        };
        let read = upgraded_with(node.clone(), 7, &["y", "mask"]);
        let message = "operator Dropout (node 'drop') has a mask that is read";
        assert_eq!(read.unwrap_err().to_string(), message);
        // Caffe2 exported a name for every output.
        let graph = upgraded_with(node, 7, &["y"]).unwrap();
        assert_eq!(
            (graph.node[0].op(), graph.node[0].output.as_slice()),
            ("Identity", ["y".to_owned()].as_slice())
        );
    }

    #[test]
    fn batch_normalization_keeps_its_statistics_outputs_in_training_mode_only() {
        let node =
            NodeProto::new("BatchNormalization", &["x", "s", "b", "m", "v"], &["y", "mean", "var"]);
        assert_eq!(upgraded(node.clone(), 9).unwrap().node[0].output, ["y"]);
        let training = node.with(AttributeProto::int("training_mode", 1));
        assert_eq!(upgraded(training, 17).unwrap().node[0].output.len(), 3);
    }

    #[test]
    fn opset_6_is_an_error() {
        let error = upgraded(NodeProto::new("Relu", &["x"], &["y"]), 6).unwrap_err();
        assert_eq!(error, Error::OpsetTooOld { opset: 6, required: 7 });
    }
}
