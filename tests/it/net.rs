//! Small networks, written operator by operator.

use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};

/// A network under construction.
#[derive(Default)]
pub(crate) struct Net {
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) constants: Vec<TensorProto>,
}

impl Net {
    pub(crate) fn fresh(&self) -> String {
        format!("t{}", self.nodes.len() + self.constants.len())
    }

    pub(crate) fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, vec![])
    }

    pub(crate) fn with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh();
        self.nodes
            .push(NodeProto { attribute: attributes, ..NodeProto::new(op, inputs, &[&output]) });
        output
    }

    /// An operator of ONNX Runtime's own domain.
    pub(crate) fn fused(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.with(op, inputs, attributes);
        if let Some(node) = self.nodes.last_mut() {
            node.domain = Some("com.microsoft".into());
        }
        output
    }

    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::int64(&name, &[values.len() as i64], values));
        name
    }

    pub(crate) fn int(&mut self, value: i64) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::int64(&name, &[], &[value]));
        name
    }

    pub(crate) fn float(&mut self, value: f32) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::float32(&name, &[], &[value]));
        name
    }

    pub(crate) fn floats(&mut self, values: &[f32]) -> String {
        self.constant(&[values.len() as i64], values)
    }

    pub(crate) fn constant(&mut self, dims: &[i64], values: &[f32]) -> String {
        let name = self.fresh();
        self.constants.push(TensorProto::float32(&name, dims, values));
        name
    }

    /// Numbers between −1 and 1, other ones for every constant.
    pub(crate) fn weights(&mut self, dims: &[i64]) -> String {
        let name = self.fresh();
        let count = dims.iter().product::<i64>() as usize;
        let offset = self.constants.len() as f32;
        let values: Vec<f32> =
            (0..count).map(|index| (index as f32 * 1.37 + offset * 0.71 + 0.4).sin()).collect();
        self.constants.push(TensorProto::float32(&name, dims, &values));
        name
    }

    /// Numbers between 0.5 and 1.5.
    pub(crate) fn positive(&mut self, dims: &[i64]) -> String {
        let weights = self.weights(dims);
        let (half, one) = (self.float(0.5), self.float(1.0));
        let halved = self.op("Mul", &[&weights, &half]);
        self.op("Add", &[&halved, &one])
    }

    /// The network as a model of images `x` `[N, C, H, W]`.
    pub(crate) fn model(self, image: [usize; 3], outputs: &[&str], opset: i64) -> ModelProto {
        let dim = |value| Dimension { value: Some(value), denotation: None };
        let sizes = image.map(|size| dim(DimensionValue::Size(size as i64)));
        let shape = TensorShapeProto {
            dim: [vec![dim(DimensionValue::Name("N".into()))], sizes.into()].concat(),
        };
        let typed = |name: &str, elem_type: i32, shape: Option<TensorShapeProto>| {
            let tensor = TensorType { elem_type: Some(elem_type), shape };
            ValueInfoProto {
                r#type: Some(TypeProto {
                    value: Some(TypeValue::Tensor(tensor)),
                    denotation: None,
                }),
                ..ValueInfoProto::untyped(name)
            }
        };
        let domain = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        ModelProto {
            ir_version: Some(if opset > 20 { 11 } else { 9 }),
            opset_import: vec![domain("", opset), domain("com.microsoft", 1)],
            graph: Some(GraphProto {
                name: Some("case".into()),
                node: self.nodes,
                initializer: self.constants,
                input: vec![typed("x", 1, Some(shape))],
                output: outputs.iter().map(|name| typed(name, 1, None)).collect(),
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
