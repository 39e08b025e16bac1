//! [`GraphBuilder`]: writes nodes and constants, one method call each.
//!
//! Everything in this crate that writes more than a node uses it: the vector–Jacobian products,
//! the graph passes, and the small networks of the tests. Each method that writes a node returns
//! the name of the node's first output, so calls nest the way expressions do:
//!
//! ```
//! use onnx_gradient::builder::GraphBuilder;
//!
//! let mut builder = GraphBuilder::new("silu/");
//! let gate = builder.op("Sigmoid", &["x"]);
//! let y = builder.mul("x", &gate);
//!
//! assert_eq!(y, "silu/1");
//! assert_eq!(builder.nodes[1].input, ["x", "silu/0"]);
//! ```

use std::collections::{HashMap, HashSet};

use crate::proto::{AttributeProto, NodeProto, TensorProto, data_type};

/// Element type, dimensions and raw bytes of a constant.
type ConstantKey = (i32, Vec<i64>, Vec<u8>);

/// Collects nodes and the constants that they read.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    /// The nodes so far, in topological order.
    pub nodes: Vec<NodeProto>,
    /// The constants so far.
    pub initializers: Vec<TensorProto>,
    prefix: String,
    /// Names of the constants so far; `None` when equal constants are not shared.
    shared: Option<HashMap<ConstantKey, String>>,
    /// Tensors that are read through a cast to float32.
    upcast: HashSet<String>,
    /// The casts so far, by the tensor that they read.
    casts: HashMap<String, String>,
}

impl GraphBuilder {
    /// A builder whose nodes and constants share one count: `{prefix}0`, `{prefix}1`, ….
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// A builder that stores equal constants once. Nodes are called `{prefix}0`, `{prefix}1`, …,
    /// which is also their `name`, and constants `{prefix}constant/0`, ….
    #[must_use]
    pub fn sharing_constants(prefix: impl Into<String>) -> Self {
        Self { shared: Some(HashMap::new()), ..Self::new(prefix) }
    }

    /// Reads these tensors through a cast to float32, which is written once for each tensor that
    /// is read. `Shape` and `Size` read the tensor itself.
    #[must_use]
    pub fn upcasting<'t>(self, tensors: impl IntoIterator<Item = &'t str>) -> Self {
        let upcast = tensors.into_iter().map(str::to_owned).collect();
        Self { upcast, ..self }
    }

    /// The nodes, and the constants that they read.
    #[must_use]
    pub fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.initializers)
    }

    /// A name that no node and no constant of this builder has yet. It stays the same until the
    /// next node or constant.
    #[must_use]
    pub fn fresh_name(&self) -> String {
        let constants = if self.shared.is_some() { 0 } else { self.initializers.len() };
        format!("{}{}", self.prefix, self.nodes.len() + constants)
    }

    /// Writes a node without attributes.
    pub fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.op_with(op, inputs, [])
    }

    /// Writes a node with attributes.
    pub fn op_with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl Into<Vec<AttributeProto>>,
    ) -> String {
        let inputs: Vec<String> =
            inputs.iter().map(|input| self.in_single_precision(op, input)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = self.fresh_name();
        let node = NodeProto::new(op, &inputs, &[&output]);
        let name = self.shared.is_some().then(|| output.clone());
        self.nodes.push(NodeProto { name, attribute: attributes.into(), ..node });
        output
    }

    /// Writes a node with attributes whose output has the given name.
    pub fn named_op(
        &mut self,
        output: &str,
        op: &str,
        inputs: &[&str],
        attributes: impl Into<Vec<AttributeProto>>,
    ) {
        let node = NodeProto::new(op, inputs, &[output]);
        self.nodes.push(NodeProto { attribute: attributes.into(), ..node });
    }

    /// Writes a node with two outputs and returns the name of the second.
    pub fn second_output(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl Into<Vec<AttributeProto>>,
    ) -> String {
        let first = self.op_with(op, inputs, attributes);
        let second = format!("{first}/second");
        if let Some(node) = self.nodes.last_mut() {
            node.output.push(second.clone());
        }
        second
    }

    /// The name under which a node of type `op` reads a tensor: that of its cast if the tensor is
    /// upcast.
    fn in_single_precision(&mut self, op: &str, input: &str) -> String {
        if matches!(op, "Shape" | "Size") || !self.upcast.contains(input) {
            return input.to_owned();
        }
        if let Some(known) = self.casts.get(input) {
            return known.clone();
        }
        let output = format!("{}single/{}", self.prefix, self.casts.len());
        self.named_op(&output, "Cast", &[input], [cast_to(data_type::FLOAT)]);
        self.casts.insert(input.to_owned(), output.clone());
        output
    }

    /// Writes the constant that `make` builds from its name.
    pub fn constant(&mut self, make: impl FnOnce(&str) -> TensorProto) -> String {
        let Some(shared) = &mut self.shared else {
            let name = self.fresh_name();
            self.initializers.push(make(&name));
            return name;
        };
        let name = format!("{}constant/{}", self.prefix, self.initializers.len());
        let tensor = make(&name);
        let raw = tensor.raw_data.as_deref().unwrap_or_default().to_vec();
        let key = (tensor.data_type(), tensor.dims.clone(), raw);
        if let Some(known) = shared.get(&key) {
            return known.clone();
        }
        shared.insert(key, name.clone());
        self.initializers.push(tensor);
        name
    }

    /// A float32 scalar.
    pub fn scalar(&mut self, value: f32) -> String {
        self.constant(|name| TensorProto::float32(name, &[], &[value]))
    }

    /// A scalar of the element type of `like`.
    pub fn scalar_like(&mut self, value: f32, like: &str) -> String {
        let single = self.scalar(value);
        self.op("CastLike", &[&single, like])
    }

    /// A float32 constant of shape `dims`.
    pub fn float32s(&mut self, dims: &[i64], values: &[f32]) -> String {
        self.constant(|name| TensorProto::float32(name, dims, values))
    }

    /// An int64 vector, the form in which operators take shapes and axes.
    pub fn int64s(&mut self, values: &[i64]) -> String {
        self.constant(|name| TensorProto::int64(name, &[values.len() as i64], values))
    }

    /// An int64 scalar.
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

    /// `a · factor`.
    pub fn scale(&mut self, a: &str, factor: f32) -> String {
        let factor = self.scalar(factor);
        self.mul(a, &factor)
    }

    /// `a` where `condition` holds, else 0. A multiplication would turn ∞ · 0 into NaN.
    pub fn keep_where(&mut self, condition: &str, a: &str) -> String {
        let zero = self.scalar(0.0);
        self.op("Where", &[condition, a, &zero])
    }

    /// `a` where `condition` holds, else 0, for a finite `a`. It is a multiplication, which takes
    /// ONNX Runtime a seventh of the time of [`Self::keep_where`]; an infinite gradient becomes
    /// NaN, so it stays visible.
    pub fn mask(&mut self, condition: &str, a: &str) -> String {
        let open = self.to_float(condition);
        self.mul(&open, a)
    }

    /// A cast to float32; booleans become 0 and 1.
    pub fn to_float(&mut self, a: &str) -> String {
        self.op_with("Cast", &[a], [cast_to(data_type::FLOAT)])
    }

    /// `a` in the shape that `like` has at run time.
    pub fn reshape_like(&mut self, a: &str, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("Reshape", &[a, &shape])
    }

    /// `a` in a constant shape, where 0 copies a size of `a` and −1 stands for the remaining size.
    pub fn reshape(&mut self, a: &str, shape: &[i64]) -> String {
        let shape = self.int64s(shape);
        self.op("Reshape", &[a, &shape])
    }

    /// `a` broadcast to the shape that `like` has at run time.
    pub fn expand_like(&mut self, a: &str, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("Expand", &[a, &shape])
    }

    /// `a` with its axes in this order.
    pub fn transpose(&mut self, a: &str, perm: impl Into<Vec<i64>>) -> String {
        self.op_with("Transpose", &[a], [AttributeProto::ints("perm", perm)])
    }

    /// The sum over `axes`, which stay with size 1 if `keepdims`.
    pub fn reduce_sum(&mut self, a: &str, axes: &[i64], keepdims: bool) -> String {
        let axes = self.int64s(axes);
        let keepdims = AttributeProto::int("keepdims", i64::from(keepdims));
        self.op_with("ReduceSum", &[a, &axes], [keepdims])
    }

    /// The mean over `axes`, which stay with size 1.
    pub fn reduce_mean(&mut self, a: &str, axes: &[i64]) -> String {
        let axes = self.int64s(axes);
        self.op_with("ReduceMean", &[a, &axes], [AttributeProto::int("keepdims", 1)])
    }

    /// The sizes of the axes `start..end` of `a` at run time, as an int64 vector.
    pub fn sizes(&mut self, a: &str, start: i64, end: i64) -> String {
        let bounds = [AttributeProto::int("start", start), AttributeProto::int("end", end)];
        self.op_with("Shape", &[a], bounds)
    }

    /// Zeros of the shape that `like` has at run time.
    pub fn zeros_like(&mut self, like: &str) -> String {
        let shape = self.op("Shape", &[like]);
        self.op("ConstantOfShape", &[&shape])
    }
}

fn cast_to(element: i32) -> AttributeProto {
    AttributeProto::int("to", i64::from(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_are_stored_once_only_where_that_is_asked_for() {
        let write = |mut builder: GraphBuilder| {
            let names = [builder.scalar(1.0), builder.int64(1), builder.scalar(1.0)];
            (names, builder.initializers.len())
        };
        let names = ["p/0", "p/1", "p/2"].map(String::from);
        assert_eq!(write(GraphBuilder::new("p/")), (names, 3));
        let names = ["p/constant/0", "p/constant/1", "p/constant/0"].map(String::from);
        assert_eq!(write(GraphBuilder::sharing_constants("p/")), (names, 2));
    }

    #[test]
    fn an_upcast_tensor_is_cast_once_and_its_shape_is_read_directly() {
        let mut builder = GraphBuilder::new("p/").upcasting(["half"]);
        builder.mul("half", "half");
        builder.op("Shape", &["half"]);
        let nodes: Vec<String> = (builder.nodes.iter())
            .map(|node| format!("{} {}", node.op(), node.input.join(" ")))
            .collect();
        assert_eq!(nodes, ["Cast half", "Mul p/single/0 p/single/0", "Shape half"]);
    }
}
