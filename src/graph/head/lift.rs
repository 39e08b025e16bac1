//! Follows an output back to the logits behind its probabilities.
//!
//! Between an activation and the output a file may rearrange the probabilities (`Transpose`,
//! `Slice`, `TopK`, …), round or clip them, or write `[1 − p, p]`. [`Lift`] walks back over such
//! operators. Those that move values are written once more for the logits, so that logit and
//! probability of a class stay in the same column.

use std::collections::HashMap;

use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

use super::OutputActivation;
use super::activation::{Activation, ActivationFinder, is_float_cast};
use super::values::{Line, Values};
use crate::graph::prepared::SCOPE;

/// No output has more operators than this between it and its activation.
pub(super) const MAX_STEPS: usize = 64;

/// Nodes to add to a graph, and what is known about their outputs.
#[derive(Clone, Debug, Default)]
pub struct AddedNodes {
    /// The nodes, in topological order.
    pub nodes: Vec<NodeProto>,
    /// Constants that they read.
    pub initializers: Vec<TensorProto>,
    /// For each output, the tensor that has its shape and the one that has its element type.
    pub like: Vec<(String, String, String)>,
}

/// The logits behind a tensor, in the arrangement of that tensor.
#[derive(Clone, Debug)]
pub(super) struct Lifted<'g> {
    /// The logits, arranged as the probabilities are.
    pub(super) logits: String,
    /// The activation, and the logits as it reads them.
    pub(super) activation: Activation<'g>,
    /// The result of the activation's last operator.
    origin: String,
    pub(super) values: Values,
    /// Whether the values are exactly those of the activation.
    pub(super) is_exact: bool,
    /// Whether some operator changed the order or the number of values.
    pub(super) is_moved: bool,
    /// Whether the classes may be fewer than the activation's.
    pub(super) is_selection: bool,
}

/// One walk back from an output.
pub(super) struct Lift<'g, 'f> {
    pub(super) finder: ActivationFinder<'g, 'f>,
    pub(super) added: AddedNodes,
    known: HashMap<String, Option<Lifted<'g>>>,
}

impl<'g, 'f> Lift<'g, 'f> {
    pub(super) fn new(finder: ActivationFinder<'g, 'f>) -> Self {
        Self { finder, added: AddedNodes::default(), known: HashMap::new() }
    }

    /// The logits behind a tensor of the graph.
    pub(super) fn lift(&mut self, tensor: &'g str) -> Option<Lifted<'g>> {
        self.lift_within(tensor, MAX_STEPS)
    }

    fn lift_within(&mut self, tensor: &'g str, steps: usize) -> Option<Lifted<'g>> {
        if let Some(known) = self.known.get(tensor) {
            return known.clone();
        }
        let lifted = match self.finder.find(tensor) {
            Some(activation) => self.start(tensor, activation),
            None => steps.checked_sub(1).and_then(|steps| self.step(tensor, steps)),
        };
        self.known.insert(tensor.to_owned(), lifted.clone());
        lifted
    }

    fn start(&mut self, tensor: &'g str, activation: Activation<'g>) -> Option<Lifted<'g>> {
        if let Some(inner) = self.before_logarithms(&activation) {
            return Some(Lifted { origin: tensor.to_owned(), ..inner });
        }
        let logits = activation.logits.to_owned();
        let logits = if activation.is_half {
            let two = self.constant(2.0);
            self.write(NodeProto::new("Mul", &[&logits, &two], &[]), &logits, &logits)
        } else {
            logits
        };
        Some(Lifted {
            logits,
            origin: tensor.to_owned(),
            values: activation.values,
            is_exact: activation.is_exact,
            is_moved: activation.is_half,
            is_selection: false,
            activation,
        })
    }

    /// A softmax of `t · ln p`, with the probabilities p of another softmax over the same classes, is
    /// a softmax of `t · z`, with the logits z of that one.
    fn before_logarithms(&mut self, outer: &Activation<'g>) -> Option<Lifted<'g>> {
        if outer.kind != OutputActivation::Softmax {
            return None;
        }
        let inner = self.lift_within(outer.logits, MAX_STEPS)?;
        let is_same = inner.activation.kind == OutputActivation::Softmax
            && inner.values.inner == Values::LOG.inner
            && inner.is_exact
            && !inner.is_selection;
        let factor = inner.values.of_log.filter(|_| is_same)?;
        let lifted = Lifted { values: outer.values, is_exact: outer.is_exact, ..inner };
        if factor == 1.0 {
            return Some(lifted);
        }
        let factor = self.constant(factor);
        let scaled = NodeProto::new("Mul", &[&lifted.logits, &factor], &[]);
        let logits = self.write(scaled, &lifted.logits, &lifted.logits);
        Some(Lifted { logits, is_moved: true, ..lifted })
    }

    /// The logits behind the result of an operator that is no activation.
    fn step(&mut self, tensor: &'g str, steps: usize) -> Option<Lifted<'g>> {
        let node = self.finder.graph_index.producer(tensor).filter(|node| node.is_standard())?;
        let input = node.input_name(0)?;
        match node.op() {
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout" => {
                let lifted = self.lift_within(input, steps)?;
                Some(self.repeat(node, tensor, lifted))
            }
            "Cast" if is_float_cast(node) => self.lift_within(input, steps),
            // Rounding and clipping change probabilities, and not what they stand for.
            "QuantizeLinear" | "DequantizeLinear" | "Clip" | "Cast" | "Round" | "Floor"
            | "Ceil" => {
                let lifted = self.lift_within(input, steps)?;
                Some(Lifted { is_exact: false, ..lifted })
            }
            "Transpose" => {
                let lifted = self.lift_within(input, steps)?;
                Some(Lifted { is_moved: true, ..self.repeat(node, tensor, lifted) })
            }
            "Slice" | "Gather" | "GatherElements" | "GatherND" | "Split" => {
                let lifted = self.lift_within(input, steps)?;
                let moved = self.repeat(node, tensor, lifted);
                Some(Lifted { is_moved: true, is_selection: true, ..moved })
            }
            "Concat" | "Sum" | "Mean" | "Max" | "Min" if node.input.len() == 1 => {
                self.lift_within(input, steps)
            }
            "Concat" => self.concat(node, tensor, steps),
            "Max" | "Min" => {
                let (input, _) = self.with_constant(node)?;
                let lifted = self.lift_within(input, steps)?;
                Some(Lifted { is_exact: false, ..lifted })
            }
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "GlobalAveragePool"
            | "GlobalMaxPool" => self.reduced_over_nothing(node, tensor, steps),
            "Exp" => self.changed(input, steps, Values::exp),
            "Log" => self.changed(input, steps, Values::log),
            "Neg" => self.changed(input, steps, |values| values.scaled(-1.0)),
            "Mul" | "Div" => self.scaled(node, steps),
            "Add" => self.shifted(node, tensor, steps),
            "Sub" if self.finder.constant(node.input_name(1)?) == Some(0.0) => {
                self.lift_within(input, steps)
            }
            "Sub" if self.finder.constant(input) == Some(1.0) => {
                let lifted = self.lift_within(node.input_name(1)?, steps)?;
                self.complement(tensor, lifted)
            }
            _ => None,
        }
    }

    /// The same operator for the logits.
    fn repeat(&mut self, node: &NodeProto, tensor: &str, lifted: Lifted<'g>) -> Lifted<'g> {
        let mut copy = NodeProto { name: None, ..node.clone() };
        copy.input[0].clone_from(&lifted.logits);
        // A dropout's mask and ratio are of no use here.
        if node.op() == "Dropout" {
            copy = NodeProto::new("Identity", &[&lifted.logits], &[""]);
        }
        let index = node.output.iter().position(|output| output == tensor).unwrap_or(0);
        let first = format!("{SCOPE}head/{}", self.added.nodes.len());
        for (other, output) in copy.output.iter_mut().enumerate() {
            *output = if other == index { first.clone() } else { format!("{first}/{other}") };
        }
        self.added.nodes.push(copy);
        self.added.like.push((first.clone(), tensor.to_owned(), lifted.logits));
        Lifted { logits: first, ..lifted }
    }

    /// Parts of one activation's values side by side, such as `[1 − p, p]`.
    fn concat(&mut self, node: &'g NodeProto, tensor: &str, steps: usize) -> Option<Lifted<'g>> {
        let parts = node.input.iter().map(|input| self.lift_within(input, steps));
        let parts: Vec<Lifted<'g>> = parts.collect::<Option<_>>()?;
        let first = parts.first()?;
        let is_same = |part: &Lifted<'_>| {
            part.values == first.values
                && part.activation.kind == first.activation.kind
                && (part.origin == first.origin
                    || part.activation.kind == OutputActivation::Sigmoid)
        };
        if !parts.iter().all(is_same) {
            return None;
        }
        let inputs: Vec<&str> = parts.iter().map(|part| part.logits.as_str()).collect();
        let concat = NodeProto::new("Concat", &inputs, &[]);
        let concat = concat.with(AttributeProto::int("axis", node.int("axis", 0)));
        let logits = self.write(concat, tensor, &first.logits.clone());
        let is_exact = parts.iter().all(|part| part.is_exact);
        Some(Lifted { logits, is_exact, is_moved: true, is_selection: true, ..parts[0].clone() })
    }

    /// A reduction or pooling over axes of size 1.
    fn reduced_over_nothing(
        &mut self,
        node: &'g NodeProto,
        tensor: &str,
        steps: usize,
    ) -> Option<Lifted<'g>> {
        let input = node.input_name(0)?;
        let count = |tensor: &str| Some(self.finder.facts.get(tensor)?.iter().product::<i64>());
        if count(input)? != count(tensor)? {
            return None;
        }
        let lifted = self.lift_within(input, steps)?;
        Some(self.repeat(node, tensor, lifted))
    }

    /// The logits of an operator's input, whose values the operator changes.
    fn changed(
        &mut self,
        input: &'g str,
        steps: usize,
        change: impl Fn(Values) -> Option<Values>,
    ) -> Option<Lifted<'g>> {
        let lifted = self.lift_within(input, steps)?;
        let values = change(lifted.values)?;
        Some(Lifted { values, ..lifted })
    }

    /// `p · c` or `p / c` with a constant.
    fn scaled(&mut self, node: &'g NodeProto, steps: usize) -> Option<Lifted<'g>> {
        let (input, constant) = self.with_constant(node)?;
        let is_quotient = node.op() == "Div";
        // 1 / p is no multiple of p.
        if is_quotient && node.input_name(0) != Some(input) {
            return None;
        }
        let factor = if is_quotient { constant.recip() } else { constant };
        self.changed(input, steps, |values| values.scaled(factor))
    }

    /// `p + 0`, `p + ε`, or `1 − p` as `1 + (−p)`.
    fn shifted(&mut self, node: &'g NodeProto, tensor: &str, steps: usize) -> Option<Lifted<'g>> {
        let (input, constant) = self.with_constant(node)?;
        if constant == 0.0 {
            return self.lift_within(input, steps);
        }
        let producer = self.finder.graph_index.producer(input);
        let Some(negated) = producer.filter(|node| node.is("Neg") && constant == 1.0) else {
            return self.changed(input, steps, |values| values.guarded(constant));
        };
        let lifted = self.lift_within(negated.input_name(0)?, steps)?;
        self.complement(tensor, lifted)
    }

    /// `1 − σ(z) = σ(−z)`.
    fn complement(&mut self, tensor: &str, lifted: Lifted<'g>) -> Option<Lifted<'g>> {
        let is_sigmoid = lifted.activation.kind == OutputActivation::Sigmoid;
        if !is_sigmoid || lifted.values != Values::PROBABILITY {
            return None;
        }
        let negative = NodeProto::new("Neg", &[&lifted.logits], &[]);
        let logits = self.write(negative, tensor, &lifted.logits);
        Some(Lifted { logits, is_moved: true, ..lifted })
    }

    /// The one operand of a node that is no constant, and the value of the constant.
    fn with_constant(&self, node: &'g NodeProto) -> Option<(&'g str, f32)> {
        let [first, second] = [node.input_name(0)?, node.input_name(1)?];
        match (self.finder.constant(first), self.finder.constant(second)) {
            _ if node.input.len() != 2 => None,
            (None, Some(value)) => Some((first, value)),
            (Some(value), None) => Some((second, value)),
            _ => None,
        }
    }

    /// The probabilities in a tensor that holds multiples or logarithms of them.
    pub(super) fn probabilities(&mut self, tensor: &str, values: Values) -> String {
        let Line { factor, offset } = values.inner;
        let mut found = tensor.to_owned();
        if let Some(log) = values.of_log {
            found = self.divided(&found, log);
            found = self.write(NodeProto::new("Exp", &[&found], &[]), &found, &found);
        }
        if offset != 0.0 {
            let offset = self.constant(offset);
            found = self.write(NodeProto::new("Sub", &[&found, &offset], &[]), &found, &found);
        }
        self.divided(&found, factor)
    }

    /// A tensor divided by a constant; the tensor itself where that is 1.
    fn divided(&mut self, tensor: &str, by: f32) -> String {
        if by == 1.0 {
            return tensor.to_owned();
        }
        let by = self.constant(by);
        self.write(NodeProto::new("Div", &[tensor, &by], &[]), tensor, tensor)
    }

    /// Writes a node and returns the name of its output, which has the shape of one tensor and the
    /// element type of another.
    fn write(&mut self, mut node: NodeProto, shape: &str, element: &str) -> String {
        let name = format!("{SCOPE}head/{}", self.added.nodes.len());
        node.output = vec![name.clone()];
        self.added.nodes.push(node);
        self.added.like.push((name.clone(), shape.to_owned(), element.to_owned()));
        name
    }

    fn constant(&mut self, value: f32) -> String {
        let name = format!("{SCOPE}head/constant/{}", self.added.initializers.len());
        self.added.initializers.push(TensorProto::float32(&name, &[], &[value]));
        name
    }
}
