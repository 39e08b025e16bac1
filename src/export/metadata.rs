//! What an exported file says about itself, as metadata properties of the model.

use onnx_gradient::proto::{ModelProto, StringStringEntryProto};
use serde_json::{Value, json};

use super::{ExportRequest, output_name};
use crate::engine::Model;
use crate::explain::Choice;
use crate::graph::export_graph::{ExportTarget, TARGET_INPUT};

/// Adds the properties `camlens.…`: what each map shows, the classes' names, and how an image
/// becomes the input.
pub(super) fn describe(exported: &mut ModelProto, model: &Model, request: &ExportRequest<'_>) {
    let is_only = request.methods.len() == 1;
    let outputs = request.methods.iter().zip(request.scores).map(|(&method, score)| {
        let normalization = request.normalizer(method).normalization.name();
        let map = json!({
            "method": method.name(), "score": score.name(), "normalize": normalization,
        });
        (output_name(method, is_only), map)
    });
    let target = match request.target {
        ExportTarget::Input => {
            format!("the input {TARGET_INPUT}: a class for each image, -1 for the predicted one")
        }
        ExportTarget::Predicted => "the predicted class".to_owned(),
        ExportTarget::Class(class) => class.to_string(),
    };
    let size = if request.at_input_size { "input" } else { "layer" };
    let preprocess = model.preprocess();
    let input = json!({
        "size": [preprocess.height, preprocess.width],
        "layout": preprocess.layout,
        "color": preprocess.color,
        "scale": preprocess.scale,
        "mean": preprocess.mean,
        "std": preprocess.std,
        "resize": preprocess.resize,
        "fit": preprocess.fit,
        "crop_ratio": preprocess.crop_ratio,
    });
    let properties = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("model", model.id().to_owned()),
        ("layer", request.layer.name.clone()),
        ("convention", request.convention.name().to_owned()),
        ("target", target),
        ("size", size.to_owned()),
        ("preprocessing", request.with_preprocessing.to_string()),
        ("maps", Value::Object(outputs.collect()).to_string()),
        ("input", input.to_string()),
        ("labels", json!(model.labels().all()).to_string()),
        ("warnings", json!(model.warnings()).to_string()),
    ];
    let property = |(key, value): (&str, String)| StringStringEntryProto {
        key: Some(format!("camlens.{key}")),
        value: Some(value),
    };
    exported.metadata_props.retain(|entry| !entry.key().starts_with("camlens."));
    exported.metadata_props.extend(properties.map(property));
    exported.producer_name = Some("camlens".to_owned());
    exported.producer_version = Some(env!("CARGO_PKG_VERSION").to_owned());
}
