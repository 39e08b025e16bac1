//! Fused operators, written out in the standard ones that they stand for.
//!
//! ONNX Runtime's optimiser and its exporters put several steps into one operator of
//! the domain `com.microsoft`. The gradient rules speak of standard operators, so
//! each is replaced by its steps, as its documentation gives them; what has a form
//! that is not listed stays and is named where a gradient is asked for. `Attention`
//! of opset 23 and an `If` whose condition is a constant are written out likewise.
//! Whoever loads a model proves the result: it must give the original's scores.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, data_type};

/// ONNX Runtime's own domain.
const MICROSOFT: &str = "com.microsoft";

/// Writes out what is fused. True when anything was.
pub fn write_out(model: &mut ModelProto) -> bool {
    let Some(graph) = &mut model.graph else { return false };
    let mut changed = false;
    // Branches may hold fused operators and further branches; deeper ones are no classifier's.
    for _ in 0..8 {
        let constants: Vec<TensorProto> = graph
            .initializer
            .iter()
            .filter(|tensor| tensor.data_type() == data_type::BOOL)
            .cloned()
            .collect();
        let mut again = false;
        let mut initializers = Vec::new();
        let mut nodes = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node) {
            let mut steps = Steps::new(&node);
            let done = match (node.domain(), node.op()) {
                (_, "If") if node.is_standard() => steps.branch(&constants, &mut initializers),
                ("" | "ai.onnx", op) => steps.standard(op),
                (MICROSOFT, op) => steps.microsoft(op),
                _ => None,
            };
            match done {
                Some(()) => {
                    again = true;
                    initializers.extend(steps.constants);
                    nodes.extend(steps.nodes);
                }
                None => nodes.push(node),
            }
        }
        graph.node = nodes;
        graph.initializer.extend(initializers);
        changed |= again;
        if !again {
            break;
        }
    }
    changed
}

/// The steps of one node.
struct Steps<'n> {
    node: &'n NodeProto,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl<'n> Steps<'n> {
    fn new(node: &'n NodeProto) -> Self {
        Self { node, nodes: Vec::new(), constants: Vec::new() }
    }

    fn fresh(&self) -> String {
        let own = self.node.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        format!("{own}/written_out/{}", self.nodes.len() + self.constants.len())
    }

    fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, Vec::new())
    }

    fn with(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = self.fresh();
        self.nodes.push(NodeProto { attribute, ..NodeProto::new(op, inputs, &[&output]) });
        output
    }

    fn float(&mut self, value: f32) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::float32(&name, &[], &[value]));
        name
    }

    /// A number of the type that tensor `like` has.
    fn number(&mut self, value: f32, like: &str) -> String {
        let single = self.float(value);
        self.op("CastLike", &[&single, like])
    }

    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::int64(&name, &[values.len() as i64], values));
        name
    }

    fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input_name(index)
    }

    /// True when the node makes outputs besides those of these numbers.
    fn makes_others(&self, known: &[usize]) -> bool {
        self.node.output.iter().enumerate().any(|(index, name)| !name.is_empty() && !known.contains(&index))
    }

    /// The result takes the name of the node's output.
    fn finish(&mut self, output: usize, tensor: &str) -> Option<()> {
        let name = self.node.output.get(output).filter(|name| !name.is_empty())?;
        let mut last = NodeProto::new("Identity", &[tensor], &[name]);
        // Layers and messages go by the name that the fused node has.
        if output == 0 {
            last.name.clone_from(&self.node.name);
            last.metadata_props.clone_from(&self.node.metadata_props);
        }
        self.nodes.push(last);
        Some(())
    }

    /// An `If` with a constant condition is the nodes of its branch.
    fn branch(&mut self, constants: &[TensorProto], initializers: &mut Vec<TensorProto>) -> Option<()> {
        let condition = constants.iter().find(|tensor| Some(tensor.name()) == self.input(0))?;
        let holds = match condition.raw_data.as_deref() {
            Some(raw) => *raw.first()? != 0,
            None => *condition.int32_data.first()? != 0,
        };
        let name = if holds { "then_branch" } else { "else_branch" };
        let branch: &GraphProto = self.node.attribute(name)?.g.as_ref()?;
        self.nodes.extend(branch.node.iter().cloned());
        initializers.extend(branch.initializer.iter().cloned());
        for (index, output) in branch.output.iter().enumerate() {
            if self.node.output.get(index).is_some_and(|name| !name.is_empty()) {
                self.finish(index, output.name())?;
            }
        }
        Some(())
    }

    fn standard(&mut self, op: &str) -> Option<()> {
        match op {
            // ONNX Runtime's optimiser writes it into the standard domain, where it is none.
            "SimplifiedLayerNormalization" => {
                let x = self.input(0)?;
                let normal = self.root_mean_square(x)?;
                self.finish(0, &normal)
            }
            "Attention" => self.attention_23(),
            _ => None,
        }
    }

    fn microsoft(&mut self, op: &str) -> Option<()> {
        match op {
            "Gelu" | "BiasGelu" => {
                let x = self.biased()?;
                let gelu = self.gelu(&x);
                self.finish(0, &gelu)
            }
            "FastGelu" => {
                let x = self.biased()?;
                let gelu = self.fast_gelu(&x);
                self.finish(0, &gelu)
            }
            "QuickGelu" => {
                let x = self.input(0)?;
                let alpha = self.number(self.node.float("alpha", 1.702), x);
                let scaled = self.op("Mul", &[x, &alpha]);
                let gate = self.op("Sigmoid", &[&scaled]);
                let gated = self.op("Mul", &[x, &gate]);
                self.finish(0, &gated)
            }
            "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => self.skip_normalization(op),
            "FusedConv" => self.fused_conv(),
            "FusedGemm" => {
                let kept = self.kept(&["alpha", "beta", "transA", "transB"]);
                let inputs: Vec<&str> = self.node.input.iter().map(String::as_str).collect();
                let product = self.with("Gemm", &inputs, kept);
                let activated = self.activated(&product)?;
                self.finish(0, &activated)
            }
            "FusedMatMul" | "TransposeMatMul" => self.fused_matmul(),
            "MultiHeadAttention" => self.multi_head_attention(),
            "Attention" => self.attention(),
            "QuantizeLinear" | "DequantizeLinear" => {
                self.nodes.push(NodeProto { domain: None, ..self.node.clone() });
                Some(())
            }
            _ => None,
        }
    }

    fn kept(&self, names: &[&str]) -> Vec<AttributeProto> {
        names.iter().filter_map(|name| self.node.attribute(name).cloned()).collect()
    }

    /// The first input, with the second added where there is one.
    fn biased(&mut self) -> Option<String> {
        let x = self.input(0)?;
        Some(match self.input(1) {
            Some(bias) => self.op("Add", &[x, bias]),
            None => x.to_owned(),
        })
    }

    /// ½x(1 + erf(x/√2)).
    fn gelu(&mut self, x: &str) -> String {
        let root = self.number(std::f32::consts::FRAC_1_SQRT_2, x);
        let scaled = self.op("Mul", &[x, &root]);
        let error = self.op("Erf", &[&scaled]);
        self.half_of_one_plus(x, &error)
    }

    /// ½x(1 + tanh(√(2/π)·(x + 0.044715x³))).
    fn fast_gelu(&mut self, x: &str) -> String {
        let slope = (2.0 / std::f32::consts::PI).sqrt();
        let (linear, cubic) = (self.number(slope, x), self.number(slope * 0.044_715, x));
        let squared = self.op("Mul", &[x, x]);
        let bend = self.op("Mul", &[&squared, &cubic]);
        let factor = self.op("Add", &[&bend, &linear]);
        let inner = self.op("Mul", &[x, &factor]);
        let t = self.op("Tanh", &[&inner]);
        self.half_of_one_plus(x, &t)
    }

    fn half_of_one_plus(&mut self, x: &str, y: &str) -> String {
        let (one, half) = (self.number(1.0, x), self.number(0.5, x));
        let level = self.op("Add", &[y, &one]);
        let level = self.op("Mul", &[&level, &half]);
        self.op("Mul", &[x, &level])
    }

    /// x/√(mean x² + ε)·γ over the last axis; the second input is γ.
    fn root_mean_square(&mut self, x: &str) -> Option<String> {
        let gamma = self.input(if self.node.op().starts_with("Skip") { 2 } else { 1 })?;
        if !matches!(self.node.int("axis", -1), -1)
            || (self.node.op().starts_with("Simpl") && self.makes_others(&[0]))
        {
            return None;
        }
        let squared = self.op("Mul", &[x, x]);
        let last = self.ints(&[-1]);
        let mean = self.op("ReduceMean", &[&squared, &last]);
        let epsilon = self.number(self.node.float("epsilon", 1e-5), x);
        let mean = self.op("Add", &[&mean, &epsilon]);
        let size = self.op("Sqrt", &[&mean]);
        let normal = self.op("Div", &[x, &size]);
        Some(self.op("Mul", &[&normal, gamma]))
    }

    /// The normalisation of input + skip + bias; the sum is the fourth output.
    fn skip_normalization(&mut self, op: &str) -> Option<()> {
        if self.makes_others(&[0, 3]) {
            return None;
        }
        let simplified = op == "SkipSimplifiedLayerNormalization";
        let bias = self.input(if simplified { 3 } else { 4 });
        let mut sum = self.op("Add", &[self.input(0)?, self.input(1)?]);
        if let Some(bias) = bias {
            sum = self.op("Add", &[&sum, bias]);
        }
        let normal = if simplified {
            self.root_mean_square(&sum)?
        } else {
            let epsilon = AttributeProto::float("epsilon", self.node.float("epsilon", 1e-12));
            let mut inputs = vec![sum.as_str(), self.input(2)?];
            inputs.extend(self.input(3));
            self.with("LayerNormalization", &inputs, vec![AttributeProto::int("axis", -1), epsilon])
        };
        if self.node.output.get(3).is_some_and(|name| !name.is_empty()) {
            self.finish(3, &sum)?;
        }
        self.finish(0, &normal)
    }

    /// A convolution, a tensor that is added, an activation.
    fn fused_conv(&mut self) -> Option<()> {
        let window = ["kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"];
        let mut inputs = vec![self.input(0)?, self.input(1)?];
        inputs.extend(self.input(2));
        let kept = self.kept(&window);
        let mut result = self.with("Conv", &inputs, kept);
        if let Some(added) = self.input(3) {
            result = self.op("Add", &[&result, added]);
        }
        let activated = self.activated(&result)?;
        self.finish(0, &activated)
    }

    /// The activation that the node's attributes name; `FusedGemm` has its numbers one by one.
    fn activated(&mut self, x: &str) -> Option<String> {
        let listed = self.node.attribute("activation_params").map(|list| list.floats.as_slice());
        let parameter = |index: usize, name: &str, default: f32| {
            listed.and_then(|list| list.get(index)).copied().unwrap_or(self.node.float(name, default))
        };
        let number = AttributeProto::float;
        Some(match self.node.string("activation", "") {
            "" => x.to_owned(),
            op @ ("Relu" | "Sigmoid" | "Tanh" | "Softplus") => self.op(op, &[x]),
            op @ "LeakyRelu" => {
                self.with(op, &[x], vec![number("alpha", parameter(0, "activation_alpha", 0.01))])
            }
            op @ "HardSigmoid" => {
                let (alpha, beta) =
                    (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
                self.with(op, &[x], vec![number("alpha", alpha), number("beta", beta)])
            }
            "Clip" => {
                let (low, high) =
                    (parameter(0, "activation_alpha", f32::MIN), parameter(1, "activation_beta", f32::MAX));
                let (low, high) = (self.number(low, x), self.number(high, x));
                self.op("Clip", &[x, &low, &high])
            }
            _ => return None,
        })
    }

    /// α·A′·B′, where ′ exchanges the last two axes; only matrices can be exchanged without knowing the rank.
    fn fused_matmul(&mut self) -> Option<()> {
        let flag = |name: &str| self.node.int(name, 0) != 0;
        if flag("transBatchA") || flag("transBatchB") {
            return None;
        }
        let (a, b) = (self.input(0)?, self.input(1)?);
        let (turn_a, turn_b) = (flag("transA"), flag("transB"));
        let a = if turn_a { self.last_two_exchanged(a) } else { a.to_owned() };
        let b = if turn_b { self.last_two_exchanged(b) } else { b.to_owned() };
        let mut product = self.op("MatMul", &[&a, &b]);
        let alpha = self.node.float("alpha", 1.0);
        if alpha != 1.0 {
            let alpha = self.number(alpha, &product);
            product = self.op("Mul", &[&product, &alpha]);
        }
        self.finish(0, &product)
    }

    /// Any number of axes before the last two: they are taken as one, and put apart again.
    fn last_two_exchanged(&mut self, x: &str) -> String {
        let last = |steps: &mut Self, start: i64, end: Option<i64>| {
            let mut bounds = vec![AttributeProto::int("start", start)];
            bounds.extend(end.map(|end| AttributeProto::int("end", end)));
            steps.with("Shape", &[x], bounds)
        };
        let (lead, rows, columns) = (last(self, 0, Some(-2)), last(self, -2, Some(-1)), last(self, -1, None));
        let all = self.ints(&[-1]);
        let concat = || vec![AttributeProto::int("axis", 0)];
        let flat = self.with("Concat", &[&all, &rows, &columns], concat());
        let flat = self.op("Reshape", &[x, &flat]);
        let turned = self.with("Transpose", &[&flat], vec![order(&[0, 2, 1])]);
        let shape = self.with("Concat", &[&lead, &columns, &rows], concat());
        self.op("Reshape", &[&turned, &shape])
    }

    /// `[B, S, H·d]` as `[B, H, S, d]`.
    fn heads(&mut self, x: &str, heads: i64) -> String {
        let shape = self.ints(&[0, 0, heads, -1]);
        let split = self.op("Reshape", &[x, &shape]);
        self.with("Transpose", &[&split], vec![order(&[0, 2, 1, 3])])
    }

    /// Softmax(q·kᵀ·scale + mask)·v for `[B, H, S, d]`.
    fn attend(&mut self, q: &str, k: &str, v: &str, scale: Option<f32>, mask: Option<&str>) -> String {
        let turned = self.with("Transpose", &[k], vec![order(&[0, 1, 3, 2])]);
        let factor = match scale {
            Some(scale) => self.number(scale, q),
            None => {
                let width = self.with("Shape", &[q], vec![AttributeProto::int("start", 3)]);
                let width = self.op("CastLike", &[&width, q]);
                let root = self.op("Sqrt", &[&width]);
                self.op("Reciprocal", &[&root])
            }
        };
        let scaled = self.op("Mul", &[q, &factor]);
        let mut scores = self.op("MatMul", &[&scaled, &turned]);
        if let Some(mask) = mask {
            scores = self.op("Add", &[&scores, mask]);
        }
        let weights = self.with("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
        self.op("MatMul", &[&weights, v])
    }

    /// `[B, H, S, d]` as `[B, S, H·d]`.
    fn joined(&mut self, x: &str) -> String {
        let turned = self.with("Transpose", &[x], vec![order(&[0, 2, 1, 3])]);
        let shape = self.ints(&[0, 0, -1]);
        self.op("Reshape", &[&turned, &shape])
    }

    fn scale(&self) -> Option<f32> {
        self.node.attribute("scale").and_then(|scale| scale.f).filter(|&scale| scale != 0.0)
    }

    /// Opset 23, without caches: a mask of floats is added; a mask of truths is not written out, nor is a
    /// causal one.
    fn attention_23(&mut self) -> Option<()> {
        let heads = (self.node.int("q_num_heads", 0), self.node.int("kv_num_heads", 0));
        let plain = self.node.int("is_causal", 0) == 0
            && self.node.float("softcap", 0.0) == 0.0
            && heads.0 == heads.1
            && (4..self.node.input.len()).all(|index| self.input(index).is_none())
            && self.input(3).is_none();
        if !plain || self.makes_others(&[0]) {
            return None;
        }
        let (q, k, v) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let scale = self.scale();
        let attended = if heads.0 == 0 {
            self.attend(q, k, v, scale, None)
        } else {
            let (q, k, v) = (self.heads(q, heads.0), self.heads(k, heads.0), self.heads(v, heads.0));
            let attended = self.attend(&q, &k, &v, scale, None);
            self.joined(&attended)
        };
        self.finish(0, &attended)
    }

    /// `com.microsoft`'s: query, key and value `[B, S, H·d]` of their own, a bias for all three, a mask that
    /// is added; caches and masks of lengths are not written out.
    fn multi_head_attention(&mut self) -> Option<()> {
        let heads = self.node.int("num_heads", 0);
        let others = [4].into_iter().chain(6..self.node.input.len());
        let unidirectional = self.node.int("unidirectional", 0) != 0;
        if heads == 0 || unidirectional || others.into_iter().any(|index| self.input(index).is_some()) {
            return None;
        }
        if self.makes_others(&[0]) {
            return None;
        }
        let mut parts = [self.input(0)?.to_owned(), self.input(1)?.to_owned(), self.input(2)?.to_owned()];
        if let Some(bias) = self.input(3) {
            for (part, bias) in self.thirds(bias, 0).into_iter().enumerate() {
                parts[part] = self.op("Add", &[&parts[part], &bias]);
            }
        }
        let parts: Vec<String> = parts.iter().map(|part| self.heads(part, heads)).collect();
        let attended = self.attend(&parts[0], &parts[1], &parts[2], self.scale(), self.input(5));
        let joined = self.joined(&attended);
        self.finish(0, &joined)
    }

    /// `com.microsoft`'s: x·W + b is query, key and value side by side.
    fn attention(&mut self) -> Option<()> {
        let heads = self.node.int("num_heads", 0);
        let others = [3, 4].into_iter().chain(6..self.node.input.len());
        let plain = self.node.int("unidirectional", 0) == 0
            && self.node.int("do_rotary", 0) == 0
            && self.node.attribute("qkv_hidden_sizes").is_none()
            && !others.into_iter().any(|index| self.input(index).is_some());
        if heads == 0 || !plain || self.makes_others(&[0]) {
            return None;
        }
        let mut all = self.op("MatMul", &[self.input(0)?, self.input(1)?]);
        if let Some(bias) = self.input(2) {
            all = self.op("Add", &[&all, bias]);
        }
        let parts: Vec<String> = self.thirds(&all, -1).iter().map(|part| self.heads(part, heads)).collect();
        let attended = self.attend(&parts[0], &parts[1], &parts[2], self.scale(), self.input(5));
        let joined = self.joined(&attended);
        self.finish(0, &joined)
    }

    fn thirds(&mut self, x: &str, axis: i64) -> [String; 3] {
        let parts = [0, 1, 2].map(|part| format!("{}/{part}", self.fresh()));
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let split = NodeProto::new("Split", &[x], &names)
            .with(AttributeProto::int("axis", axis))
            .with(AttributeProto::int("num_outputs", 3));
        self.nodes.push(split);
        parts
    }
}

fn order(perm: &[i64]) -> AttributeProto {
    AttributeProto::ints("perm", perm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_that_is_always_taken_is_its_nodes() {
        let branch = |op: &str, name: &str| GraphProto {
            node: vec![NodeProto::new(op, &["x"], &[name])],
            output: vec![crate::graph::proto::ValueInfoProto::untyped(name)],
            ..Default::default()
        };
        let condition = TensorProto {
            name: Some("no".into()),
            data_type: Some(data_type::BOOL),
            raw_data: Some(vec![0].into()),
            ..Default::default()
        };
        let node = NodeProto::new("If", &["no"], &["y"])
            .with(AttributeProto::graph("then_branch", branch("Relu", "a")))
            .with(AttributeProto::graph("else_branch", branch("Tanh", "b")));
        let graph = GraphProto { node: vec![node], initializer: vec![condition], ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };
        assert!(write_out(&mut model));
        let graph = model.graph.unwrap();
        let ops: Vec<_> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(ops, ["Tanh", "Identity"]);
        assert_eq!(graph.node[1].output, ["y"]);
    }

    #[test]
    fn what_is_not_listed_stays() {
        let node =
            NodeProto { domain: Some(MICROSOFT.into()), ..NodeProto::new("QLinearAdd", &["x"], &["y"]) };
        let graph = GraphProto { node: vec![node], ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..Default::default() };
        assert!(!write_out(&mut model));
    }
}
