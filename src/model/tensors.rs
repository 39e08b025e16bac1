//! All tensors of a model: those of its branches, loops and functions included. Their numbers come
//! from a file of unknown origin, and are checked before anything is computed from them.

use onnx_gradient::proto::{
    AttributeProto, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue,
    data_type,
};

use crate::error::{Error, Kind, Result};

/// The largest size of an axis. It also bounds what is computed in 32 bits further on.
const MAX_AXIS: i64 = i32::MAX as i64;

/// Every tensor with values.
pub(super) fn all_mut(model: &mut ModelProto) -> Vec<&mut TensorProto> {
    let mut found = Vec::new();
    model.graph.iter_mut().for_each(|graph| of_graph(graph, &mut found));
    model.functions.iter_mut().for_each(|function| of_nodes(&mut function.node, &mut found));
    found
}

fn of_graph<'a>(graph: &'a mut GraphProto, found: &mut Vec<&'a mut TensorProto>) {
    found.extend(&mut graph.initializer);
    for sparse in &mut graph.sparse_initializer {
        found.extend(sparse.values.iter_mut().chain(&mut sparse.indices));
    }
    of_nodes(&mut graph.node, found);
}

fn of_nodes<'a>(nodes: &'a mut [NodeProto], found: &mut Vec<&'a mut TensorProto>) {
    for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
        let AttributeProto { t, tensors, g, graphs, sparse_tensor, sparse_tensors, .. } = attribute;
        found.extend(t.iter_mut().chain(tensors));
        for sparse in sparse_tensor.iter_mut().chain(sparse_tensors) {
            found.extend(sparse.values.iter_mut().chain(&mut sparse.indices));
        }
        g.iter_mut().chain(graphs).for_each(|graph| of_graph(graph, found));
    }
}

/// Checks the shapes that the graph declares for its inputs, outputs and tensors.
///
/// # Errors
/// [`Kind::Setup`] that names the tensor.
pub(super) fn check_declared(model: &ModelProto) -> Result<()> {
    let graph = model.graph.iter();
    let declared =
        graph.flat_map(|graph| graph.input.iter().chain(&graph.output).chain(&graph.value_info));
    for info in declared {
        let kind = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
        let Some(TypeValue::Tensor(tensor)) = kind else { continue };
        for dimension in tensor.shape.iter().flat_map(|shape| &shape.dim) {
            match dimension.value {
                // A negative size stands for an unknown one in files of some exporters.
                Some(DimensionValue::Size(size)) if size > MAX_AXIS => {
                    let name = info.name();
                    return Err(Error::new(
                        Kind::Setup,
                        format!(
                            "tensor '{name}' has an axis of {size}; at most {MAX_AXIS} are possible"
                        ),
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Checks that a tensor's shape is possible, and that it has as many values as the shape says.
///
/// # Errors
/// [`Kind::Setup`] that names the tensor.
pub(super) fn check(tensor: &TensorProto) -> Result<()> {
    let refuse =
        |what: String| Error::new(Kind::Setup, format!("tensor '{}' {what}", tensor.name()));
    let shape = || format!("has the shape {:?}", tensor.dims);
    if tensor.dims.iter().any(|size| !(0..=MAX_AXIS).contains(size)) {
        return Err(refuse(format!("{}; an axis has from 0 to {MAX_AXIS} elements", shape())));
    }
    let product = |count: u64, size: &i64| count.checked_mul(size.unsigned_abs());
    let count = tensor.dims.iter().try_fold(1, product);
    let Some(count) = count.filter(|count| *count <= u64::MAX / 64) else {
        return Err(refuse(format!("{}, which no file can hold", shape())));
    };
    let (Some(data), Some(bits)) = (&tensor.raw_data, bits(tensor.data_type())) else {
        return Ok(());
    };
    let expected_bytes = (count * bits).div_ceil(8);
    if data.len() as u64 == expected_bytes {
        return Ok(());
    }
    let found = data.len();
    Err(refuse(format!("{}, so {expected_bytes} bytes; its data has {found}", shape())))
}

/// The bits of an element; `None` for types that are not checked.
fn bits(kind: i32) -> Option<u64> {
    Some(match kind {
        data_type::BOOL | data_type::UINT8 | data_type::INT8 => 8,
        data_type::UINT16 | data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 16,
        data_type::FLOAT | data_type::INT32 => 32,
        data_type::DOUBLE | data_type::INT64 => 64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_must_be_possible_and_fit_the_data() {
        let tensor = |dims: &[i64], bytes: usize| TensorProto {
            dims: dims.to_vec(),
            raw_data: Some(vec![0; bytes].into()),
            ..TensorProto::float32("w", &[], &[])
        };
        check(&tensor(&[2, 3], 24)).unwrap();
        check(&tensor(&[], 4)).unwrap();
        check(&tensor(&[0, 5], 0)).unwrap();
        let refusal = |dims: &[i64], bytes| check(&tensor(dims, bytes)).unwrap_err().to_string();
        assert_eq!(
            refusal(&[2, 3], 20),
            "tensor 'w' has the shape [2, 3], so 24 bytes; its data has 20"
        );
        assert!(refusal(&[1 << 31], 4).ends_with("an axis has from 0 to 2147483647 elements"));
        assert!(refusal(&[-1], 4).contains("from 0 to"));
        let axis = i64::from(i32::MAX);
        assert!(refusal(&[axis, axis, axis], 4).ends_with("which no file can hold"));
    }
}
