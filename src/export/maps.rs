//! The formulas of the methods that read the activation and its gradient, as ONNX operators over a
//! batch.
//!
//! `A` is the activation and `g` the gradient of each image, both `[N, C, h, w]` in 64 bits, as the
//! service computes them; a map is `[N, h, w]`. The files of `explain/methods` name the sources.

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{AttributeProto, TensorProto, data_type};

use super::eigen_maps::project;
use crate::explain::math::pca::Centering;
use crate::explain::{Convention, Method};

/// The axes of a map's positions.
const POSITIONS: [i64; 2] = [2, 3];

/// What a layer holds, each `[N, C, h, w]` in 64 bits, and its last three sizes.
#[derive(Debug)]
pub(super) struct LayerTensors {
    pub(super) activation: String,
    /// None where no method reads it.
    pub(super) gradient: Option<String>,
    pub(super) shape: [usize; 3],
}

/// Writes the map of a method, before any ReLU; `None` for a method that needs passes.
pub(super) fn map(
    builder: &mut GraphBuilder,
    method: Method,
    convention: Convention,
    layer: &LayerTensors,
) -> Option<String> {
    let (activation, shape) = (layer.activation.as_str(), layer.shape);
    let centred = convention == Convention::PytorchGradCam;
    if method == Method::EigenCam {
        let centering = if centred { Centering::PerChannel } else { Centering::None };
        return Some(project(builder, "activation", activation, shape, centering));
    }
    let gradient = layer.gradient.as_deref()?;
    let positional = match method {
        Method::EigenGradCam => {
            let product = builder.mul(gradient, activation);
            return Some(project(builder, "product", &product, shape, Centering::PerChannel));
        }
        Method::GradCam => {
            let weights = builder.reduce_mean(gradient, &POSITIONS);
            builder.mul(&weights, activation)
        }
        Method::GradCamPlusPlus => {
            let weights = plus_plus_weights(builder, convention, activation, gradient);
            builder.mul(&weights, activation)
        }
        Method::XGradCam => {
            let weights = x_weights(builder, convention, activation, gradient);
            builder.mul(&weights, activation)
        }
        Method::LayerCam => {
            let positive = builder.op("Relu", &[gradient]);
            builder.mul(&positive, activation)
        }
        Method::HiResCam => builder.mul(gradient, activation),
        Method::GradCamElementWise => {
            let product = builder.mul(gradient, activation);
            builder.op("Relu", &[&product])
        }
        _ => return None,
    };
    Some(builder.reduce_sum(&positional, &[1], false))
}

/// Grad-CAM++: `w = Σ α · ReLU(g)`, `[N, C, 1, 1]`, with `α = g² / (2g² + S·g³)` and `S = Σ A`.
fn plus_plus_weights(
    builder: &mut GraphBuilder,
    convention: Convention,
    activation: &str,
    gradient: &str,
) -> String {
    let zero = double(builder, 0.0);
    let sum = builder.reduce_sum(activation, &POSITIONS, true);
    let second = builder.mul(gradient, gradient);
    let third = builder.mul(&second, gradient);
    let twice = builder.add(&second, &second);
    let scaled = builder.mul(&sum, &third);
    let denominator = builder.add(&twice, &scaled);
    let alpha = match convention {
        Convention::PytorchGradCam => {
            let epsilon = double(builder, 1e-6);
            let denominator = builder.add(&denominator, &epsilon);
            builder.div(&second, &denominator)
        }
        _ => {
            let one = double(builder, 1.0);
            let is_pole = builder.op("Equal", &[&denominator, &zero]);
            let denominator = builder.op("Where", &[&is_pole, &one, &denominator]);
            builder.div(&second, &denominator)
        }
    };
    // Where g is 0, so is α, whatever its denominator.
    let is_flat = builder.op("Equal", &[&second, &zero]);
    let mut alpha = builder.op("Where", &[&is_flat, &zero, &alpha]);
    if convention == Convention::Article {
        let total = builder.reduce_sum(&alpha, &POSITIONS, true);
        let total = one_for_zero(builder, &total);
        alpha = builder.div(&alpha, &total);
    }
    let positive = builder.op("Relu", &[gradient]);
    let weighted = builder.mul(&alpha, &positive);
    builder.reduce_sum(&weighted, &POSITIONS, true)
}

/// XGrad-CAM: `w = Σ A·g / Σ A`, `[N, C, 1, 1]`.
fn x_weights(
    builder: &mut GraphBuilder,
    convention: Convention,
    activation: &str,
    gradient: &str,
) -> String {
    let sum = builder.reduce_sum(activation, &POSITIONS, true);
    let product = builder.mul(gradient, activation);
    let product = builder.reduce_sum(&product, &POSITIONS, true);
    if convention == Convention::PytorchGradCam {
        let epsilon = double(builder, 1e-7);
        let sum = builder.add(&sum, &epsilon);
        return builder.div(&product, &sum);
    }
    let zero = double(builder, 0.0);
    let is_empty = builder.op("Equal", &[&sum, &zero]);
    let divisor = one_for_zero(builder, &sum);
    let weights = builder.div(&product, &divisor);
    builder.op("Where", &[&is_empty, &zero, &weights])
}

/// The tensor with 1 in the place of every 0.
pub(super) fn one_for_zero(builder: &mut GraphBuilder, tensor: &str) -> String {
    let (zero, one) = (double(builder, 0.0), double(builder, 1.0));
    let is_zero = builder.op("Equal", &[tensor, &zero]);
    builder.op("Where", &[&is_zero, &one, tensor])
}

/// A scalar of 64 bits.
pub(super) fn double(builder: &mut GraphBuilder, value: f64) -> String {
    builder.constant(|name| TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(data_type::DOUBLE),
        raw_data: Some(value.to_le_bytes().to_vec().into()),
        ..TensorProto::default()
    })
}

/// The tensor as floats of this type.
pub(super) fn cast(builder: &mut GraphBuilder, tensor: &str, element_type: i32) -> String {
    builder.op_with("Cast", &[tensor], [AttributeProto::int("to", element_type.into())])
}
