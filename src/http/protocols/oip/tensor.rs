//! Tensors in requests: from JSON or bytes to instances.
//!
//! Binary tensors are little-endian and row-major. A BYTES tensor is, per element, a length of four
//! bytes and that many bytes.

use bytes::{Buf, Bytes};

use super::request::{Input, malformed};
use crate::error::Result;
use crate::http::extract::json::from_base64;
use crate::http::protocols::instances::{RawInstance, check_count};
use crate::http::protocols::nested::Nested;

/// The elements of a BYTES tensor, encoded.
pub(super) fn bytes_tensor<'a>(elements: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut tensor = Vec::new();
    for element in elements {
        // The protocol has four bytes for a length; bodies are far below their limit.
        let length = u32::try_from(element.len()).unwrap_or(u32::MAX);
        tensor.extend_from_slice(&length.to_le_bytes());
        tensor.extend_from_slice(element);
    }
    tensor
}

/// The image files of a BYTES input of shape `[N]` or `[N, 1]`.
///
/// # Errors
/// [`Kind::Malformed`](crate::error::Kind::Malformed).
pub(super) fn images(input: Input) -> Result<Vec<RawInstance>> {
    let count = match input.shape[..] {
        [count] | [count, 1] => count,
        _ => {
            let shape = &input.shape;
            return Err(malformed(format!("input 'image' has shape [N] or [N, 1], not {shape:?}")));
        }
    };
    check_count(count)?;
    let is_base64 = input.parameters.get("content_type").is_some_and(|kind| kind == "base64");
    let elements: Vec<Bytes> = match (input.binary, input.data) {
        (Some(binary), _) => {
            let elements = split(binary, count)?;
            let text = |element: Bytes| from_base64(&String::from_utf8_lossy(&element));
            if is_base64 {
                elements.into_iter().map(text).collect::<Result<_>>()?
            } else {
                elements
            }
        }
        // An image is no text, so a text in JSON can only be one in base64.
        (None, Some(Nested { numbers, texts, .. })) if numbers.is_empty() => {
            texts.iter().map(|text| from_base64(text)).collect::<Result<_>>()?
        }
        _ => return Err(malformed("input 'image' has no data: send texts in base64, or bytes")),
    };
    if elements.len() != count {
        let found = elements.len();
        return Err(malformed(format!("input 'image' has {count} elements, its data {found}")));
    }
    Ok(elements.into_iter().map(RawInstance::Image).collect())
}

/// The instances of an FP32 input `[N, …]`.
///
/// # Errors
/// [`Kind::Malformed`](crate::error::Kind::Malformed).
pub(super) fn values(input: Input) -> Result<Vec<RawInstance>> {
    let Input { name, shape, binary, data, .. } = input;
    let length = shape.iter().try_fold(1_usize, |length, axis| length.checked_mul(*axis));
    let numbers = match (binary, data) {
        (Some(binary), _) if binary.len() % 4 == 0 => {
            let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            binary.chunks_exact(4).map(value).collect()
        }
        (None, Some(Nested { numbers, texts, .. })) if texts.is_empty() => numbers,
        _ => return Err(malformed(format!("input '{name}' has no data of FP32"))),
    };
    if length != Some(numbers.len()) {
        let found = numbers.len();
        return Err(malformed(format!(
            "input '{name}' has shape {shape:?}, its data {found} values"
        )));
    }
    let [count, own @ ..] = shape.as_slice() else {
        return Err(malformed(format!("input '{name}' has no axes")));
    };
    let each = numbers.len().checked_div(*count).filter(|each| *each > 0);
    let Some(each) = each else { return Err(malformed(format!("input '{name}' is empty"))) };
    check_count(*count)?;
    let instance = |numbers: &[f32]| {
        let (shape, numbers) = (own.to_vec(), numbers.to_vec());
        RawInstance::Values(Nested { shape, numbers, texts: Vec::new() })
    };
    Ok(numbers.chunks_exact(each).map(instance).collect())
}

/// The elements of a binary BYTES tensor, which has `count` of them by its shape.
fn split(mut tensor: Bytes, count: usize) -> Result<Vec<Bytes>> {
    let mut elements = Vec::new();
    while !tensor.is_empty() {
        let length = if tensor.len() < 4 { usize::MAX } else { tensor.get_u32_le() as usize };
        if length > tensor.len() {
            let detail = "a BYTES tensor is, per element, a length of four bytes \
                          (little-endian) and that many bytes; this one ends early";
            return Err(malformed(detail));
        }
        // An empty element takes eight times its own length in memory.
        if elements.len() == count {
            let detail = format!("input 'image' has {count} elements, its data more");
            return Err(malformed(detail));
        }
        elements.push(tensor.split_to(length));
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Triton's description of the extension.
    #[test]
    fn bytes_have_a_length_in_front() {
        let tensor = bytes_tensor([&b"abc"[..]]);
        assert_eq!(tensor, [3, 0, 0, 0, b'a', b'b', b'c']);
        assert_eq!(split(tensor.into(), 1).unwrap(), [&b"abc"[..]]);
        assert_eq!(split(bytes_tensor([&b""[..], b"de"]).into(), 2).unwrap(), [&b""[..], b"de"]);
        assert_eq!(split(Bytes::new(), 1).unwrap(), [&b""[..]; 0]);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for tensor in [&[3, 0, 0, 0, b'a'][..], &[1, 0], &[255, 255, 255, 255, b'a']] {
            assert!(split(Bytes::copy_from_slice(tensor), 1).is_err(), "{tensor:?}");
        }
    }

    /// A body of 32 MB would be 8 million elements, of 32 bytes each.
    #[test]
    fn no_more_elements_are_split_than_the_shape_has() {
        let tensor = Bytes::from(vec![0; 4 << 20]);
        let detail = split(tensor.clone(), 2).unwrap_err().detail().to_owned();
        assert_eq!(detail, "input 'image' has 2 elements, its data more");
        let shape = vec![1 << 20];
        let input = Input { name: "image".into(), shape, binary: Some(tensor), ..Input::default() };
        assert!(images(input).unwrap_err().detail().contains("64 are possible"));
    }

    #[test]
    fn a_shape_whose_product_overflows_is_refused() {
        let shape = vec![usize::MAX, 2, 2];
        let binary = Some(Bytes::from_static(&[0; 16]));
        let input = Input { name: "x".into(), shape, binary, ..Input::default() };
        assert!(values(input).unwrap_err().detail().contains("4 values"));
    }
}
