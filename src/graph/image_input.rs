//! The one image input of a classifier.

use onnx_gradient::dtype;
use onnx_gradient::proto::{GraphProto, ValueInfoProto, data_type};

use crate::error::{Error, Kind, Result};
use crate::text::listed;

/// The one image input of a classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// Its name in the graph.
    pub name: String,
    /// Its four sizes; `None` where the model leaves one open.
    pub sizes: [Option<i64>; 4],
    /// Whether the file's own input holds bytes: pixel values from 0 to 255.
    pub takes_bytes: bool,
}

/// The graph's only input, if it can hold images. `original` is the graph of the file, where the
/// input may hold bytes.
///
/// # Errors
/// [`Kind::Setup`] that says what the model takes instead.
pub fn image_input(graph: &GraphProto, original: Option<&GraphProto>) -> Result<ImageInput> {
    let setup = |what: String| Err(Error::new(Kind::Setup, what));
    let [input] = graph.input.as_slice() else {
        return setup(match graph.input.len() {
            0 => "a classifier takes one image, this model takes no input".to_owned(),
            count => {
                let names = listed(graph.input.iter().map(ValueInfoProto::name));
                format!("a classifier takes one image, this model takes {count}: {names}")
            }
        });
    };
    let name = input.name().to_owned();
    let holds_bytes = |input: &ValueInfoProto| {
        input.name() == name
            && input.tensor().is_some_and(|(element, _)| element == data_type::UINT8)
    };
    let takes_bytes = original.is_some_and(|graph| graph.input.iter().any(holds_bytes));
    match input.tensor() {
        Some((data_type::FLOAT, sizes)) => match <[Option<i64>; 4]>::try_from(sizes) {
            Ok(sizes) => Ok(ImageInput { name, sizes, takes_bytes }),
            Err(sizes) => {
                setup(format!("input '{name}' has {} dimensions, images have 4", sizes.len()))
            }
        },
        Some((other, _)) => {
            let held = dtype::name(other);
            setup(format!("input '{name}' holds {held}; an image is of floats or of bytes (uint8)"))
        }
        None => setup(format!("input '{name}' has no shape")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_gradient::proto::{
        Dimension, DimensionValue, TensorShapeProto, TensorType, TypeProto, TypeValue,
    };

    /// An input with `rank` open dimensions.
    fn input(element: i32, rank: usize) -> ValueInfoProto {
        let open = Dimension { value: Some(DimensionValue::Name("n".into())), denotation: None };
        let tensor = TensorType {
            elem_type: Some(element),
            shape: Some(TensorShapeProto { dim: vec![open; rank] }),
        };
        ValueInfoProto {
            r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
            ..ValueInfoProto::untyped("x")
        }
    }

    #[test]
    fn inputs_that_hold_no_images_are_refused() {
        let refusal = |inputs: Vec<ValueInfoProto>| {
            let mut graph = GraphProto { input: inputs, ..Default::default() };
            onnx_gradient::passes::io_types::normalize(&mut graph, "camlens/");
            image_input(&graph, None).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(vec![input(data_type::FLOAT, 4)]), None);
        assert_eq!(refusal(vec![input(data_type::DOUBLE, 4)]), None);
        let assert_refused = |inputs, words: &str| {
            let refusal = refusal(inputs).expect("a refusal");
            assert!(refusal.contains(words), "{refusal}");
        };
        assert_refused(vec![input(data_type::STRING, 4)], "input 'x' holds strings");
        assert_refused(vec![input(data_type::INT64, 4)], "input 'x' holds int64");
        assert_refused(vec![input(data_type::FLOAT, 3)], "input 'x' has 3 dimensions");
        assert_refused(
            vec![input(data_type::FLOAT, 4); 2],
            "takes one image, this model takes 2: x, x",
        );
        assert_refused(vec![ValueInfoProto::untyped("x")], "input 'x' has no shape");
        assert_refused(vec![], "this model takes no input");
    }
}
