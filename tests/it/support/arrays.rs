//! Comparisons of arrays, and conversion of a layer's own layout to `[N, C, h, w]`.

use camlens::graph::layers::{Layer, Layout, Tokens};
use ndarray::{Array, ArrayD, Dimension, s};

/// Converts an array from the layer's own layout to the engine's, `[N, C, h, w]`.
pub(crate) fn as_maps(layer: &Layer, array: ArrayD<f32>) -> ArrayD<f32> {
    match layer.layout {
        Layout::Maps => array,
        Layout::ChannelsLast => array.permuted_axes(vec![0, 3, 1, 2]),
        Layout::Rearranged(_) => unreachable!("listed layers are not rearranged"),
        Layout::Tokens(Tokens { skip, grid: [rows, columns] }) => {
            let positions =
                array.slice(s![.., skip..skip + rows * columns, ..]).permuted_axes([0, 2, 1]);
            let [images, channels, _] = positions.shape().try_into().expect("three axes");
            let maps = positions.as_standard_layout().into_owned();
            maps.into_shape_with_order((images, channels, rows, columns))
                .expect("a grid")
                .into_dyn()
        }
    }
}

/// The largest absolute difference, divided by the largest absolute value expected.
pub(crate) fn relative_difference<D: Dimension>(
    found: &Array<f32, D>,
    expected: &Array<f32, D>,
) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    let largest = max_abs(expected);
    assert!(largest > 0.0, "the expected array is all zeros");
    difference(found, expected) / largest
}

/// The largest absolute difference; infinite if one of the arrays has a NaN.
pub(crate) fn difference<D: Dimension>(found: &Array<f32, D>, expected: &Array<f32, D>) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    found.iter().zip(expected).fold(0.0_f32, |largest, (a, b)| {
        let difference = (a - b).abs();
        // `max` would ignore a NaN.
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    })
}

/// The largest absolute value.
pub(crate) fn max_abs<D: Dimension>(array: &Array<f32, D>) -> f32 {
    array.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()))
}
