//! A batch dimension that was fixed to 1 at export.
//!
//! [`free_io`] frees the batch of the inputs and outputs. Inside, exporters write the 1 into
//! constant shapes: of `Reshape`, and of tensors that are the same for every image and are
//! concatenated with one that is not, such as a class token. [`free_interior`] rewrites these.
//! Neither proves that the model computes batches afterwards; run it to find out.

use std::collections::HashSet;

use crate::builder::GraphBuilder;
use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, NodeProto, TensorProto, TypeValue,
};

/// Makes the first size of every input and output symbolic.
///
/// `value_info` is cleared: shapes of the fixed batch would contradict the free one, and a runtime
/// infers them again.
pub fn free_io(graph: &mut GraphProto) {
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(TypeValue::Tensor(tensor)) =
            value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && let Some(first) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
        {
            *first = Dimension {
                value: Some(DimensionValue::Name("N".into())),
                denotation: first.denotation.take(),
            };
        }
    }
    graph.value_info.clear();
}

/// Frees the batch where constants inside the graph fix it. True when there were any.
///
/// `input` is the tensor whose first size is the batch, `facts` hold for a batch of 1. The names of
/// added tensors start with `{scope}batch/`.
pub fn free_interior(
    graph: &mut GraphProto,
    input: &str,
    facts: &TensorFacts,
    scope: &str,
) -> bool {
    let graph_index = GraphIndex::new(graph);
    let depends_on_input = graph_index.downstream(input, |_| false);
    let builder = GraphBuilder::default();
    let mut pass = Pass { facts, scope, depends_on_input, builder };
    for node in &graph.node {
        match node.op() {
            "Reshape" if node.is_standard() => pass.reshape(node.clone(), &graph_index),
            "Concat" if node.is_standard() => pass.concat(node.clone()),
            _ => pass.builder.nodes.push(node.clone()),
        }
    }
    let (nodes, initializers) = pass.builder.finish();
    graph.node = nodes;
    let changed = !initializers.is_empty();
    graph.initializer.extend(initializers);
    changed
}

/// The state of [`free_interior`].
struct Pass<'a> {
    facts: &'a TensorFacts,
    scope: &'a str,
    depends_on_input: HashSet<&'a str>,
    builder: GraphBuilder,
}

impl Pass<'_> {
    fn differs(&self, tensor: &str) -> bool {
        self.depends_on_input.contains(tensor)
    }

    fn constant(&mut self, name: &str, values: &[i64]) {
        let tensor = TensorProto::int64(name, &[values.len() as i64], values);
        self.builder.initializers.push(tensor);
    }

    /// Replaces the first size by −1 and the others by the measured sizes. The batch is the
    /// outermost factor of the first axis, alone or before windows or heads, so all other sizes
    /// stay the same for every batch.
    fn reshape(&mut self, mut node: NodeProto, graph_index: &GraphIndex<'_>) {
        let sizes = node.input_name(1).filter(|sizes| !self.differs(sizes));
        let target = sizes.and_then(|sizes| self.facts.known_int64s(graph_index, sizes));
        let measured = node.output.first().and_then(|output| self.facts.get(output));
        if let (Some([first, ..]), Some([_, rest @ ..])) = (target.as_deref(), measured)
            && *first > 0
            && node.input_name(0).is_some_and(|input| self.differs(input))
        {
            let free = self.name(&node, "sizes");
            let sizes = [&[-1], rest].concat();
            self.constant(&free, &sizes);
            node.input[1] = free;
        }
        self.builder.nodes.push(node);
    }

    /// Repeats parts that are the same for every image along the batch.
    fn concat(&mut self, mut node: NodeProto) {
        let varying = node.input.iter().find(|input| self.differs(input)).cloned();
        let Some(varying) = varying.filter(|_| node.int("axis", 0) != 0) else {
            return self.builder.nodes.push(node);
        };
        for index in 0..node.input.len() {
            let fixed = node.input[index].clone();
            let Some([1, rest @ ..]) = self.facts.get(&fixed).filter(|_| !self.differs(&fixed))
            else {
                continue;
            };
            let ones_count = rest.len();
            let [images, ones, sizes, repeated] = ["images", "ones", "sizes", "repeated"]
                .map(|what| self.name(&node, &format!("{index}/{what}")));
            self.constant(&ones, &vec![1; ones_count]);
            let first = [AttributeProto::int("start", 0), AttributeProto::int("end", 1)];
            self.builder.named_op(&images, "Shape", &[&varying], first);
            let axis = [AttributeProto::int("axis", 0)];
            self.builder.named_op(&sizes, "Concat", &[&images, &ones], axis);
            self.builder.named_op(&repeated, "Expand", &[&fixed, &sizes], []);
            node.input[index] = repeated;
        }
        self.builder.nodes.push(node);
    }

    /// A name for a tensor that is added for a node.
    fn name(&self, node: &NodeProto, what: &str) -> String {
        let output = node.output.first().map_or("", String::as_str);
        format!("{}batch/{output}/{what}", self.scope)
    }
}
