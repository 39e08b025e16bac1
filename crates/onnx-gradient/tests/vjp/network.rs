//! Small models for tests, on top of [`GraphBuilder`].

use std::ops::{Deref, DerefMut};

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::node::MICROSOFT_DOMAIN;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, OperatorSetIdProto,
    TensorShapeProto, ValueInfoProto, data_type,
};

/// A model under construction.
pub(crate) struct Network(GraphBuilder);

impl Default for Network {
    fn default() -> Self {
        Self(GraphBuilder::new("t"))
    }
}

impl Deref for Network {
    type Target = GraphBuilder;

    fn deref(&self) -> &GraphBuilder {
        &self.0
    }
}

impl DerefMut for Network {
    fn deref_mut(&mut self) -> &mut GraphBuilder {
        &mut self.0
    }
}

impl Network {
    /// Writes an operator of ONNX Runtime's own domain.
    pub(crate) fn contrib_op(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl Into<Vec<AttributeProto>>,
    ) -> String {
        let output = self.op_with(op, inputs, attributes);
        if let Some(node) = self.nodes.last_mut() {
            node.domain = Some(MICROSOFT_DOMAIN.into());
        }
        output
    }

    /// A float32 vector.
    pub(crate) fn floats(&mut self, values: &[f32]) -> String {
        self.float32s(&[values.len() as i64], values)
    }

    /// Values between −1 and 1, different ones for every constant.
    pub(crate) fn weights(&mut self, dims: &[i64]) -> String {
        let count = dims.iter().product::<i64>() as usize;
        let offset = self.initializers.len() as f32;
        let values: Vec<f32> =
            (0..count).map(|index| (index as f32 * 1.37 + offset * 0.71 + 0.4).sin()).collect();
        self.float32s(dims, &values)
    }

    /// Values between 0.5 and 1.5.
    pub(crate) fn positive(&mut self, dims: &[i64]) -> String {
        let weights = self.weights(dims);
        let (half, one) = (self.scalar(0.5), self.scalar(1.0));
        let halved = self.mul(&weights, &half);
        self.add(&halved, &one)
    }

    /// The model, with one input `x` `[N, C, H, W]`.
    pub(crate) fn model(self, image: [usize; 3], outputs: &[&str], opset: i64) -> ModelProto {
        let dim = |value| Dimension { value: Some(value), denotation: None };
        let sizes = image.map(|size| dim(DimensionValue::Size(size as i64)));
        let dim = [vec![dim(DimensionValue::Name("N".into()))], sizes.into()].concat();
        let float = |name: &str, shape| ValueInfoProto::typed(name, data_type::FLOAT, shape);
        let domain = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let (node, initializer) = self.0.finish();
        ModelProto {
            ir_version: Some(if opset > 20 { 11 } else { 9 }),
            opset_import: vec![domain("", opset), domain(MICROSOFT_DOMAIN, 1)],
            graph: Some(GraphProto {
                name: Some("case".into()),
                node,
                initializer,
                input: vec![float("x", Some(TensorShapeProto { dim }))],
                output: outputs.iter().map(|name| float(name, None)).collect(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto::ints(name, values)
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto::int(name, value)
}
