//! What has been written in blocks, and each operator that is no convolution.

use std::collections::{HashMap, HashSet};

use camlens_kernels::Op;

use super::filters::{Arrangement, arrange};
use super::pass::{ATTRIBUTE, RUNTIME};
use crate::engine::optimize::conv_fusion::SOURCES;
use crate::engine::optimize::elementwise::{STEPS, SUMS};
use crate::engine::optimize::{
    common::{DOMAIN, is_own},
    depthwise, elementwise,
};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto, data_type};

/// Operators on every number for itself, which make a number of zero. What else they read is one
/// number for all.
const ELEMENTWISE: [&str; 17] = [
    "Abs",
    "Add",
    "Clip",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Mul",
    "Neg",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Sub",
    "Tanh",
];

/// What is known of a tensor in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Maps {
    /// How many channels it has; what fills the last block is not counted.
    pub(crate) channels: i64,
    pub(crate) size: Size,
}

/// How large maps are. Two that are equal are of the same size; others may be as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As the gradient's own reshapes have it.
    Known([i64; 2]),
    /// As large as this tensor.
    Like(String),
}

/// What has been written so far that a graph can read.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// The tensors that are in blocks, by the names that they had.
    maps: HashMap<String, Maps>,
    /// Those of them that are there in the ordinary order anyway.
    both: HashSet<String>,
    /// Weights that have been arranged.
    arranged: HashSet<String>,
}

/// Writes nodes in blocks.
pub(crate) struct Writer<'g> {
    pub(crate) weights: HashMap<&'g str, &'g TensorProto>,
    pub(crate) scope: Scope,
    /// Channels in a block.
    pub(crate) lanes: i64,
    /// What goes with the graph's constants.
    pub(crate) constants: Vec<TensorProto>,
}

/// How the names of tensors in blocks begin; those that they had follow.
const PREFIX: &str = "camlens/blocks/";

/// The name of a tensor in blocks.
pub(crate) fn in_blocks(tensor: &str) -> String {
    format!("{PREFIX}{tensor}")
}

impl<'g> Writer<'g> {
    pub(crate) fn new(weights: &'g [TensorProto], lanes: usize) -> Self {
        Self {
            weights: weights.iter().map(|tensor| (tensor.name(), tensor)).collect(),
            scope: Scope::default(),
            lanes: lanes as i64,
            constants: Vec::new(),
        }
    }

    /// The node that gives a tensor in the ordinary order, if `output` is that tensor in blocks and
    /// is read so.
    pub(crate) fn turned(&self, output: &str, read: &HashSet<String>) -> Option<NodeProto> {
        let tensor = output.strip_prefix(PREFIX)?;
        let channels = self.scope.maps.get(tensor)?.channels;
        (read.contains(tensor) && !self.scope.both.contains(tensor)).then(|| {
            of_runtime("ReorderOutput", &[output], tensor)
                .with(AttributeProto::int("channels", channels))
        })
    }

    /// Writes a node in blocks, or returns false. What is written a second time as part of another
    /// is read by nobody, and falls away.
    pub(crate) fn write(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> bool {
        let done = match node.op() {
            depthwise::OPERATOR if is_own(node, depthwise::OPERATOR) => {
                self.own_depthwise(node, nodes)
            }
            elementwise::OPERATOR if is_own(node, elementwise::OPERATOR) => {
                self.own_elementwise(node, nodes)
            }
            _ if !node.is_standard() || node.output.len() != 1 => None,
            "Conv" => self.convolution(node, None, nodes),
            "Reshape" => self.pointwise_back(graph_index, node, nodes),
            "Relu" => {
                self.activated(graph_index, node, nodes).or_else(|| self.elementwise(node, nodes))
            }
            "Add" => self.added(graph_index, node, nodes).or_else(|| self.elementwise(node, nodes)),
            "GlobalAveragePool" => self.mean(node, nodes),
            "ReduceSum" => self.sum(graph_index, node, nodes),
            "HardSwish" => self.hard_swish(node, nodes),
            _ => self.elementwise(node, nodes),
        };
        done.is_some()
    }

    /// What is known of a tensor in blocks.
    pub(crate) fn maps(&self, tensor: &str) -> Option<&Maps> {
        self.scope.maps.get(tensor)
    }

    /// Notes that a tensor has been written in blocks.
    pub(crate) fn wrote(&mut self, tensor: &str, maps: Maps) -> Option<()> {
        self.scope.maps.insert(tensor.to_owned(), maps);
        Some(())
    }

    /// Turns a tensor that is in the ordinary order into blocks, which its channels fill.
    pub(crate) fn turn(&mut self, tensor: &str, channels: i64, nodes: &mut Vec<NodeProto>) {
        nodes.push(of_runtime("ReorderInput", &[tensor], &in_blocks(tensor)));
        self.scope.both.insert(tensor.to_owned());
        self.wrote(tensor, Maps { channels, size: Size::Like(tensor.to_owned()) });
    }

    /// What all of these are together, if they are in blocks and have as many channels: the maps of
    /// a result `output`.
    fn together<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a String>,
        output: &str,
    ) -> Option<Maps> {
        let all: Vec<&Maps> =
            tensors.into_iter().map(|tensor| self.maps(tensor)).collect::<Option<_>>()?;
        let first = *all.first()?;
        let same_size = all.iter().all(|maps| maps.size == first.size);
        let size = if same_size { first.size.clone() } else { Size::Like(output.to_owned()) };
        all.iter()
            .all(|maps| maps.channels == first.channels)
            .then_some(Maps { channels: first.channels, size })
    }

    pub(crate) fn integers(&self, tensor: Option<&str>) -> Option<Vec<i64>> {
        self.weights.get(tensor?)?.to_int64s()
    }

    pub(crate) fn constant(&mut self, name: String, values: &[i64]) -> String {
        self.constants.push(TensorProto::int64(&name, &[values.len() as i64], values));
        name
    }

    /// The sizes of a filter that is a constant of 32-bit floats.
    pub(crate) fn sizes(&self, tensor: &str) -> Option<[i64; 4]> {
        let weights =
            self.weights.get(tensor).filter(|weights| weights.data_type() == data_type::FLOAT)?;
        weights.dims.as_slice().try_into().ok()
    }

    /// A filter in the order in which it is wanted.
    pub(crate) fn filter(
        &mut self,
        source: &str,
        sizes: [i64; 4],
        arrangement: Arrangement,
        nodes: &mut Vec<NodeProto>,
    ) -> String {
        let name = format!("{PREFIX}{arrangement:?}/{source}");
        if self.is_new(&name) {
            let (made, constants) = arrange(source, &name, sizes, arrangement, self.lanes);
            nodes.extend(made);
            self.constants.extend(constants);
        }
        name
    }

    /// Whether weights of this name have not been arranged yet.
    pub(crate) fn is_new(&mut self, name: &str) -> bool {
        self.scope.arranged.insert(name.to_owned())
    }

    /// The mean of every channel.
    fn mean(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let channels = self.maps(input)?.channels;
        nodes.push(of_runtime("GlobalAveragePool", &[&in_blocks(input)], &in_blocks(output)));
        self.wrote(output, Maps { channels, size: Size::Known([1, 1]) })
    }

    /// The sum of every channel, and of what it alone reads along the way.
    fn sum(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let channels = self.maps(input)?.channels;
        if self.integers(node.input_name(1))? != [2, 3] || node.int("keepdims", 1) != 1 {
            return None;
        }
        let read = in_blocks(input);
        let made = nodes.iter().rev().find(|made| made.output[0] == read);
        let made = made.filter(|_| graph_index.sole_consumer(input).is_some());
        let sum = match made {
            Some(group) if is_own(group, elementwise::OPERATOR) => {
                let output = in_blocks(output);
                NodeProto { name: Some(output.clone()), output: vec![output], ..group.clone() }
            }
            Some(mul)
                if mul.is("Mul") && mul.input.iter().all(|input| input.starts_with(PREFIX)) =>
            {
                self.expression(&mul.input, output, vec![Op::Mul as i64, 0, 1, 0])
            }
            _ => self.expression(&[read], output, vec![Op::Identity as i64, 0, 0, 0]),
        };
        nodes.push(sum.with(AttributeProto::int(SUMS, 1)));
        self.wrote(output, Maps { channels, size: Size::Known([1, 1]) })
    }

    /// An operator on every number for itself, or arithmetic on two tensors in blocks.
    fn elementwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let output = &node.output[0];
        let (maps, others): (Vec<&String>, Vec<&String>) =
            node.input.iter().partition(|input| self.scope.maps.contains_key(*input));
        let all = self.together(maps.iter().copied(), output)?;
        let same_size =
            maps.iter().all(|map| self.maps(map).is_some_and(|map| map.size == all.size));
        if let Some(op) = arithmetic(node).filter(|_| others.is_empty() && !same_size) {
            let inputs: Vec<String> = node.input.iter().map(|input| in_blocks(input)).collect();
            nodes.push(self.expression(&inputs, output, vec![op as i64, 0, 1, 0]));
            return self.wrote(output, all);
        }
        let is_number = |name: &&String| {
            let weights = self.weights.get(name.as_str());
            let is_one = |tensor: &TensorProto| {
                tensor.dims.len() <= 4 && tensor.dims.iter().all(|&size| size == 1)
            };
            name.is_empty() || weights.is_some_and(|tensor| is_one(tensor))
        };
        if !ELEMENTWISE.contains(&node.op()) || !same_size || !others.iter().all(is_number) {
            return None;
        }
        let mut made = node.clone();
        for input in made.input.iter_mut().filter(|input| self.scope.maps.contains_key(*input)) {
            *input = in_blocks(input);
        }
        made.output = vec![in_blocks(output)];
        nodes.push(made);
        self.wrote(output, all)
    }

    /// One operator of camlens's where the runtime has two.
    fn hard_swish(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let maps = self.maps(input)?.clone();
        nodes.push(self.expression(
            &[in_blocks(input)],
            output,
            vec![Op::HardSwish as i64, 0, 0, 0],
        ));
        self.wrote(output, maps)
    }

    /// Camlens's own elementwise arithmetic.
    fn own_elementwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let maps = self
            .together(&node.input, &node.output[0])
            .filter(|maps| self.stays_number(maps, node))?;
        self.own(node, |_| true, nodes);
        self.wrote(&node.output[0], maps)
    }

    /// Camlens's own depthwise convolution.
    fn own_depthwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let place = usize::try_from(node.int(SOURCES, 1)).ok()?;
        let others = node.input.iter().enumerate().filter(|(index, _)| *index != place);
        let maps = self.together(others.map(|(_, input)| input), &node.output[0]);
        let Maps { channels, .. } = maps.filter(|maps| self.stays_number(maps, node))?;
        let &[height, width] = node.ints("kernel_shape")? else { return None };
        let source = node.input_name(place)?.to_owned();
        let filter = self.filter(&source, [channels, 1, height, width], Arrangement::Out, nodes);
        self.own(node, |index| index != place, nodes).input[place] = filter;
        self.wrote(&node.output[0], Maps { channels, size: Size::Like(node.output[0].clone()) })
    }

    /// One of camlens's own nodes, whose inputs at some places are maps.
    fn own<'n>(
        &self,
        node: &NodeProto,
        is_map: impl Fn(usize) -> bool,
        nodes: &'n mut Vec<NodeProto>,
    ) -> &'n mut NodeProto {
        let mut made = node.clone().with(AttributeProto::int(ATTRIBUTE, self.lanes));
        for (_, input) in made.input.iter_mut().enumerate().filter(|(index, _)| is_map(*index)) {
            *input = in_blocks(input);
        }
        made.output = vec![in_blocks(&node.output[0])];
        nodes.push(made);
        let last = nodes.len() - 1;
        &mut nodes[last]
    }

    /// Whether what fills the last block stays a number: what is none would spread, though filters
    /// have a zero for it.
    fn stays_number(&self, maps: &Maps, node: &NodeProto) -> bool {
        let steps = node.attribute.iter().filter(|attribute| attribute.name().ends_with(STEPS));
        let mut ops = steps.flat_map(|steps| steps.ints.iter().step_by(4));
        maps.channels % self.lanes == 0
            || ops.all(|&op| ![Op::Div as i64, Op::Reciprocal as i64].contains(&op))
    }

    /// An expression on blocks.
    fn expression(&self, inputs: &[String], output: &str, steps: Vec<i64>) -> NodeProto {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = in_blocks(output);
        NodeProto {
            domain: Some(DOMAIN.into()),
            name: Some(output.clone()),
            ..NodeProto::new(elementwise::OPERATOR, &inputs, &[&output])
        }
        .with(AttributeProto::ints(STEPS, steps))
        .with(AttributeProto::int(ATTRIBUTE, self.lanes))
    }
}

/// Arithmetic on two tensors.
fn arithmetic(node: &NodeProto) -> Option<Op> {
    match node.op() {
        "Add" => Some(Op::Add),
        "Sub" => Some(Op::Sub),
        "Mul" => Some(Op::Mul),
        _ => None,
    }
}

/// A node of the runtime's own on blocks.
pub(crate) fn of_runtime(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    // Another node may be called as its output is.
    let name = Some(format!("{output}/{op}"));
    NodeProto { domain: Some(RUNTIME.into()), name, ..NodeProto::new(op, inputs, &[output]) }
}
