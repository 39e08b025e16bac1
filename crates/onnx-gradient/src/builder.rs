//! Writing gradient nodes: unique names, shared constants, and the handful of
//! phrases that most rules are made of.

use std::collections::HashMap;

use crate::dtype::is_short_float;
use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::passes::qdq::rounds_what_was_told;
use crate::proto::{AttributeProto, NodeProto, TensorProto, data_type};

/// Collects the nodes of a backward pass. Every method that writes a node returns the name of its
/// output.
#[derive(Debug)]
pub struct GraphBuilder<'g> {
    graph_index: &'g GraphIndex<'g>,
    shapes: &'g TensorFacts,
    prefix: &'static str,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    constants: HashMap<(i32, Vec<i64>, Vec<u8>), String>,
    /// Tensors of this pass that have the sizes of a forward tensor.
    alike: HashMap<String, &'g [i64]>,
    /// Tensors of 16-bit floats, each with its cast to 32 bits.
    casts: HashMap<String, String>,
}

impl<'g> GraphBuilder<'g> {
    /// Begins to write nodes whose names all start with `prefix`.
    #[must_use]
    pub fn named(
        graph_index: &'g GraphIndex<'g>,
        shapes: &'g TensorFacts,
        prefix: &'static str,
    ) -> Self {
        Self {
            graph_index,
            shapes,
            prefix,
            nodes: Vec::new(),
            initializers: Vec::new(),
            constants: HashMap::new(),
            alike: HashMap::new(),
            casts: HashMap::new(),
        }
    }

    /// The nodes and the constants that they read.
    #[must_use]
    pub fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.initializers)
    }

    /// The measured sizes of a forward tensor, or of one that was said to be like such.
    ///
    /// # Errors
    /// When it was not measured.
    pub fn shape(&self, tensor: &str) -> Result<&'g [i64], String> {
        let measured = self.shapes.get(tensor).or_else(|| self.alike.get(tensor).copied());
        measured.ok_or_else(|| format!("the shape of tensor '{tensor}' is unknown"))
    }

    /// Says that a tensor of this pass has the sizes of a forward tensor, so that rules can be
    /// applied to it.
    pub fn set_shape_like(&mut self, tensor: &str, like: &str) {
        if let Ok(sizes) = self.shape(like) {
            self.alike.insert(tensor.to_owned(), sizes);
        }
    }

    /// The element type of a forward tensor.
    #[must_use]
    pub fn element_type(&self, tensor: &str) -> i32 {
        self.shapes.element_type(tensor)
    }

    /// True for a node that rounds floats in which integers were told, and so clips nothing.
    #[must_use]
    pub fn rounds_what_was_told(&self, node: &NodeProto) -> bool {
        rounds_what_was_told(self.graph_index, node).is_some()
    }

    /// The values of an integer tensor that does not depend on the image; `None` when it does.
    #[must_use]
    pub fn known_int64s(&self, tensor: &str) -> Option<Vec<i64>> {
        self.shapes.known_int64s(self.graph_index, tensor)
    }

    /// The values of a constant of floats, in 32 bits.
    #[must_use]
    pub fn known_float32s(&self, tensor: &str) -> Option<Vec<f32>> {
        self.graph_index.constant(tensor)?.to_float32s()
    }

    /// Writes a node without attributes.
    pub fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.op_with(op, inputs, Vec::new())
    }

    /// Writes a node with attributes.
    pub fn op_with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let single: Vec<String> =
            inputs.iter().map(|input| self.in_single_precision(op, input)).collect();
        let inputs: Vec<&str> = single.iter().map(String::as_str).collect();
        let output = format!("{}{}", self.prefix, self.nodes.len());
        let node = NodeProto { attribute: attributes, ..NodeProto::new(op, &inputs, &[&output]) };
        self.nodes.push(NodeProto { name: Some(output.clone()), ..node });
        output
    }

    /// Gradients are computed in 32 bits, so what a node reads of a model in 16 bits is cast; sizes
    /// are sizes.
    fn in_single_precision(&mut self, op: &str, input: &str) -> String {
        if matches!(op, "Shape" | "Size") || !is_short_float(self.shapes.element_type(input)) {
            return input.to_owned();
        }
        if let Some(known) = self.casts.get(input) {
            return known.clone();
        }
        let output = format!("{}single/{}", self.prefix, self.casts.len());
        let to_single = AttributeProto::int("to", i64::from(data_type::FLOAT));
        self.nodes.push(NodeProto::new("Cast", &[input], &[&output]).with(to_single));
        self.casts.insert(input.to_owned(), output.clone());
        output
    }

    /// Writes a node whose second output is meant.
    pub fn second_output(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let first = self.op_with(op, inputs, attributes);
        let second = format!("{first}/second");
        if let Some(node) = self.nodes.last_mut() {
            node.output.push(second.clone());
        }
        second
    }

    fn constant(&mut self, make: impl FnOnce(&str) -> TensorProto) -> String {
        let name = format!("{}constant/{}", self.prefix, self.initializers.len());
        let tensor = make(&name);
        let raw = tensor.raw_data.as_deref().unwrap_or_default().to_vec();
        let key = (tensor.data_type(), tensor.dims.clone(), raw);
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        self.initializers.push(tensor);
        self.constants.insert(key, name.clone());
        name
    }

    /// A float constant without dimensions.
    pub fn scalar(&mut self, value: f32) -> String {
        self.constant(|name| TensorProto::float32(name, &[], &[value]))
    }

    /// A float constant.
    pub fn float32s(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.constant(|name| TensorProto::float32(name, dims, values))
    }

    /// A vector of integers, as shapes and axes are given.
    pub fn int64s(&mut self, values: &[i64]) -> String {
        self.constant(|name| TensorProto::int64(name, &[values.len() as i64], values))
    }

    /// An integer without dimensions.
    pub fn int64(&mut self, value: i64) -> String {
        self.constant(|name| TensorProto::int64(name, &[], &[value]))
    }

    /// `a + b`, broadcast.
    pub fn add(&mut self, a: &str, b: &str) -> String {
        self.op("Add", &[a, b])
    }

    /// `a − b`, broadcast.
    pub fn sub(&mut self, a: &str, b: &str) -> String {
        self.op("Sub", &[a, b])
    }

    /// `a · b`, broadcast.
    pub fn mul(&mut self, a: &str, b: &str) -> String {
        self.op("Mul", &[a, b])
    }

    /// `a / b`, broadcast.
    pub fn div(&mut self, a: &str, b: &str) -> String {
        self.op("Div", &[a, b])
    }

    /// `a · value`.
    pub fn scale(&mut self, a: &str, value: f32) -> String {
        let value = self.scalar(value);
        self.mul(a, &value)
    }

    /// `a` where `condition` holds, else 0. A product would turn ∞ · 0 into NaN.
    pub fn keep_where(&mut self, condition: &str, a: &str) -> String {
        let zero = self.scalar(0.0);
        self.op("Where", &[condition, a, &zero])
    }

    /// `a` where `condition` holds, else 0, for an `a` that is finite: ∞ · 0 becomes NaN, which no
    /// map hides. ONNX Runtime takes a seventh of [`Self::keep_where`]'s time for it.
    pub fn mask(&mut self, condition: &str, a: &str) -> String {
        let open = self.to_float(condition);
        self.mul(&open, a)
    }

    /// A boolean tensor as 0 and 1.
    pub fn to_float(&mut self, a: &str) -> String {
        self.op_with("Cast", &[a], vec![AttributeProto::int("to", i64::from(data_type::FLOAT))])
    }

    /// `a` in the shape that tensor `like` has at run time.
    pub fn reshape_like(&mut self, a: &str, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("Reshape", &[a, &shape])
    }

    /// `a` in a shape given by numbers; 0 keeps a size, −1 takes the rest.
    pub fn reshape(&mut self, a: &str, shape: &[i64]) -> String {
        let shape = self.int64s(shape);
        self.op("Reshape", &[a, &shape])
    }

    /// `a` broadcast to the shape that tensor `like` has at run time.
    pub fn expand_like(&mut self, a: &str, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("Expand", &[a, &shape])
    }

    /// The sum over some axes.
    pub fn reduce_sum(&mut self, a: &str, axes: &[i64], keep: bool) -> String {
        let axes = self.int64s(axes);
        self.op_with(
            "ReduceSum",
            &[a, &axes],
            vec![AttributeProto::int("keepdims", i64::from(keep))],
        )
    }

    /// The mean over some axes, which stay as ones.
    pub fn reduce_mean(&mut self, a: &str, axes: &[i64]) -> String {
        let axes = self.int64s(axes);
        self.op_with("ReduceMean", &[a, &axes], vec![AttributeProto::int("keepdims", 1)])
    }

    /// The size that tensor `a` has along an axis at run time, as a vector of one.
    pub fn size_along(&mut self, a: &str, axis: i64) -> String {
        let attributes =
            vec![AttributeProto::int("start", axis), AttributeProto::int("end", axis + 1)];
        self.op_with("Shape", &[a], attributes)
    }

    /// Zeros of the shape that tensor `like` has at run time.
    pub fn zeros_like(&mut self, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("ConstantOfShape", &[&shape])
    }

    /// Undoes the broadcasting of `input` to the shape of `output`: sums where the size grew.
    ///
    /// # Errors
    /// When one of the shapes is unknown.
    pub fn unbroadcast(
        &mut self,
        gradient: &str,
        input: &str,
        output: &str,
    ) -> Result<String, String> {
        let (from, to) = (self.shape(input)?, self.shape(output)?);
        let extra = to.len().saturating_sub(from.len());
        let grown = (0..to.len() as i64).filter(|&axis| {
            let axis = axis as usize;
            axis < extra || (from[axis - extra] == 1 && to[axis] != 1)
        });
        let axes: Vec<i64> = grown.collect();
        if axes.is_empty() {
            return Ok(gradient.to_owned());
        }
        let summed = self.reduce_sum(gradient, &axes, true);
        Ok(if extra > 0 { self.reshape_like(&summed, input) } else { summed })
    }
}
