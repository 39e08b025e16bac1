//! A model file's numbers are not believed: sizes that no machine can hold are errors that name
//! them.

use camlens::model::onnx_file::OnnxFile;
use onnx_gradient::proto::{DimensionValue, ModelProto, TypeValue};

use crate::support::{repository, written};

fn model() -> ModelProto {
    let path = repository("tests/golden/dialects/tinyvgg-torchscript.onnx");
    OnnxFile::open(&path).expect("a model").model
}

fn refusal(model: &ModelProto) -> String {
    written(model, "").map(|_| ()).expect_err("an impossible size").to_string()
}

/// The model with a size of its input changed.
fn with_input_size(axis: usize, size: i64) -> ModelProto {
    let mut model = model();
    let input = &mut model.graph.as_mut().expect("a graph").input[0];
    let Some(TypeValue::Tensor(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    else {
        panic!("an input that is no tensor")
    };
    let shape = tensor.shape.as_mut().expect("a shape");
    shape.dim[axis].value = Some(DimensionValue::Size(size));
    model
}

#[test]
fn an_input_of_two_billion_rows_is_refused() {
    let text = refusal(&with_input_size(2, 8193));
    assert!(text.contains("its input has height 8193"), "{text}");
    assert!(text.contains("from 1 to 8192"), "{text}");
    // Its batch, channels, rows and columns.
    for axis in 0..4 {
        for size in [1 << 31, 1 << 62, i64::MAX] {
            let text = refusal(&with_input_size(axis, size));
            let reason = format!("tensor 'input' has an axis of {size}; at most 2147483647");
            assert!(text.contains(&reason), "{text}");
        }
    }
}

#[test]
fn a_weight_whose_shape_is_not_that_of_its_data_is_refused() {
    for (sizes, reason) in [
        (vec![1 << 31, 3, 3, 3], "an axis has from 0 to 2147483647 elements"),
        (vec![i64::from(i32::MAX); 4], "which no file can hold"),
        (vec![i64::from(i32::MAX), 1, 1, 1], "so 8589934588 bytes; its data has"),
    ] {
        let mut model = model();
        let weights = &mut model.graph.as_mut().expect("a graph").initializer;
        let weight = weights.iter_mut().find(|tensor| tensor.dims.len() == 4).expect("a filter");
        weight.dims = sizes;
        let text = refusal(&model);
        assert!(text.contains(reason), "{text}");
    }
}
