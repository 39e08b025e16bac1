//! Describes a model: its input, its output, and what can be explained with it.
//!
//! `GET /v1/models/{id}` and `camlens inspect --json` show the same description.

use serde_json::{Map, Value, json};

use super::response::STRAIGHT_THROUGH;
use crate::engine::Model;
use crate::explain::METHODS;
use crate::explain::MethodSpec;
use crate::explain::Needs;
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;

/// Everything that a client may want to know about a model before it uses it.
#[must_use]
pub fn describe(model: &Model) -> Value {
    let preprocess = model.preprocess();
    // The batch dimension is free: camlens frees a fixed one when it loads the model.
    let [first, second, third] = preprocess.shape();
    let manifest = &model.folder().manifest;
    let layers: Vec<Value> =
        model.layers().iter().map(|layer| describe_layer(model, layer)).collect();
    json!({
        "id": model.id(),
        "name": model.id(),
        "ready": true,
        "status": "ready",
        "title": manifest.title,
        "description": manifest.description,
        "domain": manifest.domain,
        "file": manifest.file,
        "input": {
            "name": model.input_name(),
            "shape": [null, first, second, third],
            "size": [preprocess.height, preprocess.width],
            "batch": model.batch(),
            "layout": preprocess.layout,
            "color": preprocess.color,
            "resize": preprocess.resize,
            "fit": preprocess.fit,
            "crop_ratio": decimal(preprocess.crop_ratio),
            "scale": decimal(preprocess.scale),
            "mean": preprocess.mean.iter().copied().map(decimal).collect::<Vec<_>>(),
            "std": preprocess.std.iter().copied().map(decimal).collect::<Vec<_>>(),
        },
        "output": {
            "name": model.output_name(),
            "others": model.other_outputs(),
            "kind": output_kind(model.output_activation()),
            "classes": model.classes(),
        },
        "labels": model.labels().all(),
        "layers": layers,
        "default_layer": model.default_layer().name,
        "methods": methods(model),
        "warnings": model.warnings(),
    })
}

/// One layer: its names, the layout of its maps, and the methods that work on it.
fn describe_layer(model: &Model, layer: &Layer) -> Value {
    let no_gradient = model.gradient_unsupported_reason(layer);
    let works = |row: &&&MethodSpec| unsupported_reason(model, layer, row).is_none();
    let methods: Vec<&str> = METHODS.iter().filter(works).map(|row| row.name).collect();
    let mut described = json!({
        "name": layer.node,
        "alias": layer.name,
        "tensor": layer.tensor,
        "shape": layer.shape,
        "layout": layer.layout.name(),
        "gradients": no_gradient.is_none(),
        "methods": methods,
        "same_maps": same_maps(model, layer),
    });
    if no_gradient.is_none() {
        described["gradient"] =
            json!(if layer.is_straight_through { STRAIGHT_THROUGH } else { "exact" });
    }
    if let Some(mover) = &layer.moved_by {
        described["moved_by"] = json!(mover);
    }
    if let Some(reason) = no_gradient {
        described["reason"] = json!(reason);
    }
    described
}

/// Groups of methods whose maps on a layer are the same for every image, class and convention that
/// all of them have.
///
/// There is one such group: if the layer's positions are averaged before anything else reads them,
/// the gradient does not depend on the position, and neither does how a method averages it.
fn same_maps(model: &Model, layer: &Layer) -> Vec<Vec<&'static str>> {
    let is_exact = model.is_averaged(layer) && !layer.is_straight_through;
    let agrees = |spec: &&&MethodSpec| {
        spec.is_gradient_weighted_sum && unsupported_reason(model, layer, spec).is_none()
    };
    let names: Vec<_> = METHODS.iter().filter(agrees).map(|spec| spec.name).collect();
    if is_exact && names.len() > 1 { vec![names] } else { Vec::new() }
}

/// The shortest decimal of a float: 0.485, not 0.48500001430511475.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// The scores that the model exposes: logits before a softmax or a sigmoid, only probabilities, or
/// quantities.
#[must_use]
pub fn output_kind(activation: OutputActivation) -> &'static str {
    match activation {
        OutputActivation::Softmax => "logits",
        OutputActivation::Sigmoid | OutputActivation::Other => "sigmoid",
        OutputActivation::Unknown => "probabilities",
        OutputActivation::Identity => "regression",
    }
}

/// Whether each method works on the default layer, and if not, why.
fn methods(model: &Model) -> Map<String, Value> {
    let support = |row: &MethodSpec| match unsupported_reason(model, model.default_layer(), row) {
        Some(reason) => json!({ "available": false, "reason": reason }),
        None => json!({ "available": true }),
    };
    METHODS.iter().map(|row| (row.name.to_owned(), support(row))).collect()
}

/// Why a method does not work on a layer, if it does not.
fn unsupported_reason(model: &Model, layer: &Layer, row: &MethodSpec) -> Option<String> {
    match row.needs {
        Needs::ActivationOnly | Needs::Masked => None,
        Needs::Gradient => model.gradient_unsupported_reason(layer).map(str::to_owned),
        Needs::Tail => model.tail_unsupported_reason(layer),
    }
}
