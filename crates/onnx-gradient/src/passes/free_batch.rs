//! The batch dimension of a model that was exported with a batch of 1.
//!
//! Its inputs and outputs say so, which is easily changed. Inside, exporters write the 1 down where
//! a shape is a constant: what reshapes, and what is joined to something that is the same for every
//! image, as a class token is.

use std::collections::HashSet;

use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, NodeProto, TensorProto, TypeValue,
};

/// Exports with a batch of 1 often compute every batch; the engine proves it before it relies on
/// it.
pub fn free_at_the_ends(graph: &mut GraphProto) {
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
    // Shapes noted inside would contradict the freed one; the runtime infers them anew.
    graph.value_info.clear();
}

/// Lets the batch go where it is written down inside. True when it was anywhere. `shapes` are those
/// of a single image.
pub fn free_inside(graph: &mut GraphProto, image: &str, shapes: &TensorFacts) -> bool {
    let graph_index = GraphIndex::new(graph);
    let of_image = graph_index.downstream(image, |_| false);
    let mut freed = Freed { shapes, of_image: &of_image, nodes: Vec::new(), constants: Vec::new() };
    for node in &graph.node {
        match node.op() {
            "Reshape" if node.is_standard() => freed.reshape(node.clone(), &graph_index),
            "Concat" if node.is_standard() => freed.join(node.clone()),
            _ => freed.nodes.push(node.clone()),
        }
    }
    let Freed { nodes, constants, .. } = freed;
    graph.node = nodes;
    let any = !constants.is_empty();
    graph.initializer.extend(constants);
    any
}

/// A graph that is written anew, node by node.
struct Freed<'a> {
    shapes: &'a TensorFacts,
    of_image: &'a HashSet<&'a str>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Freed<'_> {
    /// Whether another image makes another tensor.
    fn differs(&self, tensor: &str) -> bool {
        self.of_image.contains(tensor)
    }

    /// The batch is the outermost part of the first axis, alone or before windows or heads: all
    /// other sizes stay.
    fn reshape(&mut self, mut node: NodeProto, graph_index: &GraphIndex<'_>) {
        let sizes = node.input_name(1).filter(|sizes| !self.differs(sizes));
        let asked = sizes.and_then(|sizes| self.shapes.known_int64s(graph_index, sizes));
        let measured = node.output.first().and_then(|output| self.shapes.get(output));
        if let (Some([first, ..]), Some([_, rest @ ..])) = (asked.as_deref(), measured)
            && *first > 0
            && node.input_name(0).is_some_and(|input| self.differs(input))
        {
            let freed = named(&node, "sizes");
            let values = [&[-1], rest].concat();
            self.constants.push(TensorProto::int64(&freed, &[values.len() as i64], &values));
            node.input[1] = freed;
        }
        self.nodes.push(node);
    }

    /// What is the same for every image is repeated before it is joined to what is not.
    fn join(&mut self, mut node: NodeProto) {
        let joined = node.input.iter().find(|input| self.differs(input)).cloned();
        let Some(joined) = joined.filter(|_| node.int("axis", 0) != 0) else {
            return self.nodes.push(node);
        };
        for place in 0..node.input.len() {
            let same = node.input[place].clone();
            let Some([1, rest @ ..]) = self.shapes.get(&same).filter(|_| !self.differs(&same))
            else {
                continue;
            };
            let [images, ones, sizes, repeated] = ["images", "ones", "sizes", "repeated"]
                .map(|what| named(&node, &format!("{place}/{what}")));
            self.constants.push(TensorProto::int64(
                &ones,
                &[rest.len() as i64],
                &vec![1; rest.len()],
            ));
            let first = [AttributeProto::int("start", 0), AttributeProto::int("end", 1)];
            let shape = NodeProto::new("Shape", &[&joined], &[&images]);
            self.nodes.extend([
                NodeProto { attribute: first.into(), ..shape },
                NodeProto::new("Concat", &[&images, &ones], &[&sizes])
                    .with(AttributeProto::int("axis", 0)),
                NodeProto::new("Expand", &[&same, &sizes], &[&repeated]),
            ]);
            node.input[place] = repeated;
        }
        self.nodes.push(node);
    }
}

fn named(node: &NodeProto, what: &str) -> String {
    format!("camlens/batch/{}/{what}", node.output.first().map_or("", String::as_str))
}
