//! Rounding has no finite differences to compare with: its straight-through estimate is compared
//! with its definition. [`crate::qoperator`] does so for the integer operators.

use onnx_gradient::proto::{TensorProto, data_type};

use crate::cases::{HEIGHT, WIDTH, image};
use crate::finite_differences::gradient_of;
use crate::network::int;

/// The operators whose vjp is a straight-through estimate.
pub(crate) const OPERATORS: &[&str] =
    &["DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"];

#[test]
fn rounding_passes_the_gradient_of_values_that_it_does_not_clip() {
    // One scale a channel: the ranges end at 1.27, 0.635 and 2.54, so only some elements of the
    // second channel are clipped.
    let x = image((-1.2, 1.2));
    let scales = [0.01, 0.005, 0.02];
    let found = gradient_of(&x, |n| {
        let scale = n.floats(&scales);
        let zero = n.constant(|name| TensorProto {
            name: Some(name.to_owned()),
            dims: vec![3],
            data_type: Some(data_type::INT8),
            raw_data: Some(vec![0; 3].into()),
            ..Default::default()
        });
        let rounded = n.op_with("QuantizeLinear", &["layer", &scale, &zero], [int("axis", 1)]);
        n.op_with("DequantizeLinear", &[&rounded, &scale, &zero], [int("axis", -3)])
    });
    let mut clipped = 0;
    for (index, (found, x)) in found.expect("a gradient").into_iter().zip(x).enumerate() {
        let scale = scales[index / (HEIGHT * WIDTH)];
        let in_range = (-128.0..=127.0).contains(&(x / scale).round());
        // The score weighs element i by sin(1.7·i + 0.3).
        let expected = if in_range { (1.7 * index as f32 + 0.3).sin() } else { 0.0 };
        assert!((found - expected).abs() < 1e-4, "element {index}: {found}, not {expected}");
        clipped += usize::from(!in_range);
    }
    assert!((10..20).contains(&clipped), "{clipped}");
}
