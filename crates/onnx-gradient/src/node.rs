//! Constructors and accessors for the messages of the schema: attributes and constants of a node,
//! tensors, graph inputs and outputs.

use bytes::Bytes;

use crate::proto::{
    AttributeProto, Dimension, DimensionValue, EXTERNAL, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, attribute_type, data_type,
};

/// Domain of the operators that ONNX Runtime adds to the standard.
pub const MICROSOFT_DOMAIN: &str = "com.microsoft";

impl NodeProto {
    /// A node of the default domain.
    #[must_use]
    pub fn new(op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        Self {
            op_type: Some(op.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The operator type, such as `Conv`.
    #[must_use]
    pub fn op(&self) -> &str {
        self.op_type()
    }

    /// True for an operator of the ONNX standard, false for those of other domains.
    #[must_use]
    pub fn is_standard(&self) -> bool {
        matches!(self.domain(), "" | "ai.onnx")
    }

    /// True for the standard operator of this type.
    #[must_use]
    pub fn is(&self, op: &str) -> bool {
        self.is_standard() && self.op() == op
    }

    /// The name of input `index`; `None` where it is omitted.
    #[must_use]
    pub fn input_name(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What messages call this node: its name, or its first output if it has no name.
    #[must_use]
    pub fn label(&self) -> &str {
        match self.name() {
            "" => self.output.first().map_or("", String::as_str),
            name => name,
        }
    }

    /// The attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// The value of an integer attribute, or `default` when it is absent.
    #[must_use]
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    /// The value of a float attribute, or `default` when it is absent.
    #[must_use]
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    /// The value of an integer list; `None` when it is absent.
    #[must_use]
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// The value of a string attribute, or `default` when it is absent.
    #[must_use]
    pub fn string<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.attribute(name)
            .and_then(|attribute| attribute.s.as_deref())
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or(default)
    }

    /// Copies of the attributes of these names, in the order of the names.
    #[must_use]
    pub fn attributes(&self, names: &[&str]) -> Vec<AttributeProto> {
        names.iter().filter_map(|name| self.attribute(name).cloned()).collect()
    }

    /// Removes an attribute from the node and returns it.
    pub fn take_attribute(&mut self, name: &str) -> Option<AttributeProto> {
        let index = self.attribute.iter().position(|attribute| attribute.name() == name)?;
        Some(self.attribute.remove(index))
    }

    /// The same node with one more attribute.
    #[must_use]
    pub fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

impl AttributeProto {
    fn named(name: &str, r#type: i32) -> Self {
        Self { name: Some(name.to_owned()), r#type: Some(r#type), ..Self::default() }
    }

    /// An integer attribute.
    #[must_use]
    pub fn int(name: &str, value: i64) -> Self {
        Self { i: Some(value), ..Self::named(name, attribute_type::INT) }
    }

    /// An attribute that is a list of integers.
    #[must_use]
    pub fn ints(name: &str, values: impl Into<Vec<i64>>) -> Self {
        Self { ints: values.into(), ..Self::named(name, attribute_type::INTS) }
    }

    /// A float attribute.
    #[must_use]
    pub fn float(name: &str, value: f32) -> Self {
        Self { f: Some(value), ..Self::named(name, attribute_type::FLOAT) }
    }

    /// An attribute that is a list of floats.
    #[must_use]
    pub fn floats(name: &str, values: impl Into<Vec<f32>>) -> Self {
        Self { floats: values.into(), ..Self::named(name, attribute_type::FLOATS) }
    }

    /// A string attribute.
    #[must_use]
    pub fn string(name: &str, value: &str) -> Self {
        Self {
            s: Some(Bytes::copy_from_slice(value.as_bytes())),
            ..Self::named(name, attribute_type::STRING)
        }
    }

    /// A sub-graph, as `Loop` and `If` take it.
    #[must_use]
    pub fn graph(name: &str, value: GraphProto) -> Self {
        Self { g: Some(value), ..Self::named(name, attribute_type::GRAPH) }
    }
}

impl TensorProto {
    /// An int64 tensor.
    #[must_use]
    pub fn int64(name: &str, dims: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::raw(name, dims, data_type::INT64, raw)
    }

    /// A float32 tensor.
    #[must_use]
    pub fn float32(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::raw(name, dims, data_type::FLOAT, raw)
    }

    fn raw(name: &str, dims: &[i64], data_type: i32, raw: Vec<u8>) -> Self {
        Self {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(data_type),
            raw_data: Some(raw.into()),
            ..Self::default()
        }
    }

    /// True when the data is in another file.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.data_location() == EXTERNAL
    }

    /// An entry of the reference to the other file: `location`, `offset` or `length`.
    #[must_use]
    pub fn external(&self, key: &str) -> Option<&str> {
        self.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
    }

    /// The values of a tensor of integers or booleans; `None` for other types and for external
    /// data.
    #[must_use]
    pub fn to_int64s(&self) -> Option<Vec<i64>> {
        match (self.data_type(), self.raw_data.as_deref()) {
            (data_type::INT64, Some(raw)) => {
                Some(raw.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
            }
            (data_type::INT64, None) => Some(self.int64_data.clone()),
            (data_type::INT32, Some(raw)) => {
                Some(raw.as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect())
            }
            (data_type::BOOL | data_type::UINT8, Some(raw)) => {
                Some(raw.iter().map(|&byte| i64::from(byte)).collect())
            }
            (data_type::INT8, Some(raw)) => {
                Some(raw.iter().map(|&byte| i64::from(i8::from_le_bytes([byte]))).collect())
            }
            (data_type::INT32 | data_type::BOOL | data_type::UINT8 | data_type::INT8, None) => {
                Some(self.int32_data.iter().map(|&value| i64::from(value)).collect())
            }
            _ => None,
        }
        .filter(|_| !self.is_external())
    }

    /// The values of a float16, float32 or double tensor; `None` for other types and for external
    /// data.
    #[must_use]
    pub fn to_float32s(&self) -> Option<Vec<f32>> {
        match (self.data_type(), self.raw_data.as_deref()) {
            (data_type::FLOAT, Some(raw)) => {
                Some(raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            (data_type::FLOAT, None) => Some(self.float_data.clone()),
            (data_type::DOUBLE, Some(raw)) => {
                Some(raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect())
            }
            (data_type::DOUBLE, None) => {
                Some(self.double_data.iter().map(|&value| value as f32).collect())
            }
            (data_type::FLOAT16, Some(raw)) => Some(
                raw.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            ),
            (data_type::FLOAT16, None) => self
                .int32_data
                .iter()
                .map(|&bits| Some(half::f16::from_bits(u16::try_from(bits).ok()?).to_f32()))
                .collect(),
            _ => None,
        }
        .filter(|_| !self.is_external())
    }
}

impl ValueInfoProto {
    /// A graph output whose type the runtime infers.
    #[must_use]
    pub fn untyped(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// A graph input or output of 32-bit floats; `None` stands for a size that is not static.
    #[must_use]
    pub fn float32(name: &str, sizes: &[Option<i64>]) -> Self {
        let dimension = |size: &Option<i64>| Dimension {
            value: size.map(DimensionValue::Size),
            denotation: None,
        };
        let shape = TensorShapeProto { dim: sizes.iter().map(dimension).collect() };
        Self::typed(name, data_type::FLOAT, Some(shape))
    }

    /// A graph input or output of this element type; without a shape, the runtime infers it.
    #[must_use]
    pub fn typed(name: &str, elem_type: i32, shape: Option<TensorShapeProto>) -> Self {
        let tensor = TensorType { elem_type: Some(elem_type), shape };
        let value = Some(TypeValue::Tensor(tensor));
        Self { r#type: Some(TypeProto { value, denotation: None }), ..Self::untyped(name) }
    }

    /// The declared shape of a tensor.
    #[must_use]
    pub fn tensor_shape(&self) -> Option<&TensorShapeProto> {
        let Some(TypeValue::Tensor(tensor)) = &self.r#type.as_ref()?.value else { return None };
        tensor.shape.as_ref()
    }

    /// The element type and the sizes of a tensor; `None` stands for a size that is not static.
    #[must_use]
    pub fn tensor(&self) -> Option<(i32, Vec<Option<i64>>)> {
        let Some(TypeValue::Tensor(tensor)) = &self.r#type.as_ref()?.value else { return None };
        let size = |value: &Option<DimensionValue>| match value {
            Some(DimensionValue::Size(size)) if *size > 0 => Some(*size),
            _ => None,
        };
        let sizes = tensor.shape.as_ref()?.dim.iter().map(|dim| size(&dim.value)).collect();
        Some((tensor.elem_type(), sizes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_back_as_written() {
        assert_eq!(TensorProto::int64("a", &[2], &[-1, 7]).to_int64s(), Some(vec![-1, 7]));
        assert_eq!(
            TensorProto::float32("a", &[2], &[0.5, -2.0]).to_float32s(),
            Some(vec![0.5, -2.0])
        );
        assert_eq!(TensorProto::float32("a", &[1], &[0.5]).to_int64s(), None);
    }

    #[test]
    fn typed_data_is_read_like_raw_data() {
        let tensor = TensorProto {
            data_type: Some(data_type::INT64),
            int64_data: vec![3, 4],
            ..Default::default()
        };
        assert_eq!(tensor.to_int64s(), Some(vec![3, 4]));
    }

    #[test]
    fn a_node_without_a_name_is_called_by_its_output() {
        assert_eq!(NodeProto::new("Relu", &["x"], &["y"]).label(), "y");
    }
}
