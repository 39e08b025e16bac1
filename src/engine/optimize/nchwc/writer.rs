//! Writes nodes in the NCHWc layout: operators other than convolutions.

use std::collections::{HashMap, HashSet};

use camlens_kernels::Op;

use super::filters::{FilterLayout, reorder};
use super::scope::{
    BLOCK_ATTRIBUTE, FeatureMaps, PREFIX, Scope, SpatialSize, nchwc_name, runtime_node,
};
use crate::engine::optimize::conv_fusion::PROLOGUE_INPUTS;
use crate::engine::optimize::elementwise::{STEPS, SUMS};
use crate::engine::optimize::{
    common::{DOMAIN, is_own},
    depthwise, elementwise,
};
use onnx_gradient::index::GraphIndex;
use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto, data_type};

/// Elementwise operators that map 0 to a finite number. Their other inputs must be scalars.
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

/// Writes the nodes of a graph in the NCHWc layout.
pub(crate) struct Writer<'g> {
    pub(crate) weights: HashMap<&'g str, &'g TensorProto>,
    pub(crate) scope: Scope,
    /// Channels in a block.
    pub(crate) block: i64,
    /// New initializers.
    pub(crate) constants: Vec<TensorProto>,
}

impl<'g> Writer<'g> {
    pub(crate) fn new(weights: &'g [TensorProto], block: usize) -> Self {
        Self {
            weights: weights.iter().map(|tensor| (tensor.name(), tensor)).collect(),
            scope: Scope::default(),
            block: block as i64,
            constants: Vec::new(),
        }
    }

    /// The node that reorders a tensor back to NCHW, if `output` is a tensor in NCHWc and its NCHW
    /// form is read.
    pub(crate) fn reorder_output(&self, output: &str, read: &HashSet<String>) -> Option<NodeProto> {
        let tensor = output.strip_prefix(PREFIX)?;
        let channels = self.scope.feature_maps.get(tensor)?.channels;
        (read.contains(tensor) && !self.scope.in_nchw.contains(tensor)).then(|| {
            runtime_node("ReorderOutput", &[output], tensor)
                .with(AttributeProto::int("channels", channels))
        })
    }

    /// Writes a node in NCHWc, or returns false. A node that is written again as part of another
    /// has no consumers and is removed later.
    pub(crate) fn write(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> bool {
        let done = match node.op() {
            depthwise::OPERATOR if is_own(node, depthwise::OPERATOR) => {
                self.custom_depthwise(node, nodes)
            }
            elementwise::OPERATOR if is_own(node, elementwise::OPERATOR) => {
                self.custom_elementwise(node, nodes)
            }
            _ if !node.is_standard() || node.output.len() != 1 => None,
            "Conv" => self.convolution(node, None, nodes),
            "Reshape" => self.pointwise_transposed(graph_index, node, nodes),
            "Relu" => {
                self.conv_relu(graph_index, node, nodes).or_else(|| self.elementwise(node, nodes))
            }
            "Add" => {
                self.conv_add(graph_index, node, nodes).or_else(|| self.elementwise(node, nodes))
            }
            "GlobalAveragePool" => self.mean(node, nodes),
            "ReduceSum" => self.sum(graph_index, node, nodes),
            "HardSwish" => self.hard_swish(node, nodes),
            _ => self.elementwise(node, nodes),
        };
        done.is_some()
    }

    /// The facts about a tensor in NCHWc; `None` if it is not in that layout.
    pub(crate) fn feature_maps(&self, tensor: &str) -> Option<&FeatureMaps> {
        self.scope.feature_maps.get(tensor)
    }

    /// Records that a tensor has been written in NCHWc.
    pub(crate) fn record(&mut self, tensor: &str, maps: FeatureMaps) -> Option<()> {
        self.scope.feature_maps.insert(tensor.to_owned(), maps);
        Some(())
    }

    /// Reorders an NCHW tensor, whose channels must fill whole blocks, to NCHWc.
    pub(crate) fn reorder_input(
        &mut self,
        tensor: &str,
        channels: i64,
        nodes: &mut Vec<NodeProto>,
    ) {
        nodes.push(runtime_node("ReorderInput", &[tensor], &nchwc_name(tensor)));
        self.scope.in_nchw.insert(tensor.to_owned());
        self.record(tensor, FeatureMaps { channels, size: SpatialSize::Like(tensor.to_owned()) });
    }

    /// The facts about an elementwise result of these tensors, if all are in NCHWc with equal
    /// channel counts.
    fn common_feature_maps<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a String>,
        output: &str,
    ) -> Option<FeatureMaps> {
        let all: Vec<&FeatureMaps> =
            tensors.into_iter().map(|tensor| self.feature_maps(tensor)).collect::<Option<_>>()?;
        let first = *all.first()?;
        let same_size = all.iter().all(|maps| maps.size == first.size);
        let size =
            if same_size { first.size.clone() } else { SpatialSize::Like(output.to_owned()) };
        all.iter()
            .all(|maps| maps.channels == first.channels)
            .then_some(FeatureMaps { channels: first.channels, size })
    }

    pub(crate) fn integers(&self, tensor: Option<&str>) -> Option<Vec<i64>> {
        self.weights.get(tensor?)?.to_int64s()
    }

    pub(crate) fn constant(&mut self, name: String, values: &[i64]) -> String {
        self.constants.push(TensorProto::int64(&name, &[values.len() as i64], values));
        name
    }

    /// The shape of a constant 32-bit filter.
    pub(crate) fn filter_shape(&self, tensor: &str) -> Option<[i64; 4]> {
        let weights =
            self.weights.get(tensor).filter(|weights| weights.data_type() == data_type::FLOAT)?;
        weights.dims.as_slice().try_into().ok()
    }

    /// The name of a filter in `layout`; writes its reordering once.
    pub(crate) fn filter(
        &mut self,
        source: &str,
        sizes: [i64; 4],
        layout: FilterLayout,
        nodes: &mut Vec<NodeProto>,
    ) -> String {
        let name = format!("{PREFIX}{layout:?}/{source}");
        if self.mark_new(&name) {
            let (made, constants) = reorder(source, &name, sizes, layout, self.block);
            nodes.extend(made);
            self.constants.extend(constants);
        }
        name
    }

    /// True the first time that a name is requested in this scope.
    pub(crate) fn mark_new(&mut self, name: &str) -> bool {
        self.scope.reordered.insert(name.to_owned())
    }

    /// `GlobalAveragePool`.
    fn mean(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let channels = self.feature_maps(input)?.channels;
        nodes.push(runtime_node("GlobalAveragePool", &[&nchwc_name(input)], &nchwc_name(output)));
        self.record(output, FeatureMaps { channels, size: SpatialSize::Known([1, 1]) })
    }

    /// `ReduceSum` over height and width, together with the elementwise node that only it reads.
    fn sum(
        &mut self,
        graph_index: &GraphIndex<'_>,
        node: &NodeProto,
        nodes: &mut Vec<NodeProto>,
    ) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let channels = self.feature_maps(input)?.channels;
        if self.integers(node.input_name(1))? != [2, 3] || node.int("keepdims", 1) != 1 {
            return None;
        }
        let read = nchwc_name(input);
        let made = nodes.iter().rev().find(|made| made.output[0] == read);
        let made = made.filter(|_| graph_index.sole_consumer(input).is_some());
        let sum = match made {
            Some(group) if is_own(group, elementwise::OPERATOR) => {
                let output = nchwc_name(output);
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
        self.record(output, FeatureMaps { channels, size: SpatialSize::Known([1, 1]) })
    }

    /// An elementwise operator, or arithmetic on two tensors in NCHWc.
    fn elementwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let output = &node.output[0];
        let (maps, others): (Vec<&String>, Vec<&String>) =
            node.input.iter().partition(|input| self.scope.feature_maps.contains_key(*input));
        let all = self.common_feature_maps(maps.iter().copied(), output)?;
        let same_size =
            maps.iter().all(|map| self.feature_maps(map).is_some_and(|map| map.size == all.size));
        if let Some(op) = arithmetic(node).filter(|_| others.is_empty() && !same_size) {
            let inputs: Vec<String> = node.input.iter().map(|input| nchwc_name(input)).collect();
            nodes.push(self.expression(&inputs, output, vec![op as i64, 0, 1, 0]));
            return self.record(output, all);
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
        for input in
            made.input.iter_mut().filter(|input| self.scope.feature_maps.contains_key(*input))
        {
            *input = nchwc_name(input);
        }
        made.output = vec![nchwc_name(output)];
        nodes.push(made);
        self.record(output, all)
    }

    /// `HardSwish` as one custom operator, where the runtime has two.
    fn hard_swish(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let (input, output) = (node.input_name(0)?, &node.output[0]);
        let maps = self.feature_maps(input)?.clone();
        nodes.push(self.expression(
            &[nchwc_name(input)],
            output,
            vec![Op::HardSwish as i64, 0, 0, 0],
        ));
        self.record(output, maps)
    }

    /// The custom operator `Elementwise`.
    fn custom_elementwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let maps = self
            .common_feature_maps(&node.input, &node.output[0])
            .filter(|maps| self.padding_stays_finite(maps, node))?;
        self.custom(node, |_| true, nodes);
        self.record(&node.output[0], maps)
    }

    /// The custom operator `Depthwise`.
    fn custom_depthwise(&mut self, node: &NodeProto, nodes: &mut Vec<NodeProto>) -> Option<()> {
        let filter_index = usize::try_from(node.int(PROLOGUE_INPUTS, 1)).ok()?;
        let others = node.input.iter().enumerate().filter(|(index, _)| *index != filter_index);
        let maps = self.common_feature_maps(others.map(|(_, input)| input), &node.output[0]);
        let FeatureMaps { channels, .. } =
            maps.filter(|maps| self.padding_stays_finite(maps, node))?;
        let &[height, width] = node.ints("kernel_shape")? else { return None };
        let source = node.input_name(filter_index)?.to_owned();
        let filter =
            self.filter(&source, [channels, 1, height, width], FilterLayout::Oihwbo, nodes);
        self.custom(node, |index| index != filter_index, nodes).input[filter_index] = filter;
        self.record(
            &node.output[0],
            FeatureMaps { channels, size: SpatialSize::Like(node.output[0].clone()) },
        )
    }

    /// A copy of a custom node in NCHWc. `is_map` says which inputs are feature maps.
    fn custom<'n>(
        &self,
        node: &NodeProto,
        is_map: impl Fn(usize) -> bool,
        nodes: &'n mut Vec<NodeProto>,
    ) -> &'n mut NodeProto {
        let mut made = node.clone().with(AttributeProto::int(BLOCK_ATTRIBUTE, self.block));
        for (_, input) in made.input.iter_mut().enumerate().filter(|(index, _)| is_map(*index)) {
            *input = nchwc_name(input);
        }
        made.output = vec![nchwc_name(&node.output[0])];
        nodes.push(made);
        let last = nodes.len() - 1;
        &mut nodes[last]
    }

    /// Whether the padding of the last block stays finite. A NaN there would spread, although
    /// filters have zeros for it.
    fn padding_stays_finite(&self, maps: &FeatureMaps, node: &NodeProto) -> bool {
        let steps = node.attribute.iter().filter(|attribute| attribute.name().ends_with(STEPS));
        let mut ops = steps.flat_map(|steps| steps.ints.iter().step_by(4));
        maps.channels % self.block == 0
            || ops.all(|&op| ![Op::Div as i64, Op::Reciprocal as i64].contains(&op))
    }

    /// A custom `Elementwise` node in NCHWc.
    fn expression(&self, inputs: &[String], output: &str, steps: Vec<i64>) -> NodeProto {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = nchwc_name(output);
        NodeProto {
            domain: Some(DOMAIN.into()),
            name: Some(output.clone()),
            ..NodeProto::new(elementwise::OPERATOR, &inputs, &[&output])
        }
        .with(AttributeProto::ints(STEPS, steps))
        .with(AttributeProto::int(BLOCK_ATTRIBUTE, self.block))
    }
}

/// Binary arithmetic as a kernel operation.
fn arithmetic(node: &NodeProto) -> Option<Op> {
    match node.op() {
        "Add" => Some(Op::Add),
        "Sub" => Some(Op::Sub),
        "Mul" => Some(Op::Mul),
        _ => None,
    }
}
