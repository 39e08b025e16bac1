//! `GET /v1/models` and `GET /v1/models/{id}`: what can be asked, and what each model is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::App;
use super::answer::STRAIGHT_THROUGH;
use crate::engine::{Model, Status};
use crate::error::{Error, Kind, Result};
use crate::explain::{METHODS, MethodSpec, Needs};
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;

/// One line of the list.
#[derive(Serialize)]
pub(super) struct Summary {
    id: String,
    ready: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every model with its status.
pub(super) fn summaries(app: &App) -> Vec<Summary> {
    let summary = |(id, status): (String, Status)| {
        let (ready, status, error) = match status {
            Status::Ready(_) => (true, "ready", None),
            Status::Loading => (false, "loading", None),
            Status::Failed(why) => (false, "failed", Some(from_folder(&why, &id))),
        };
        Summary { id, ready, status, error }
    };
    app.models.list().into_iter().map(summary).collect()
}

/// What is wrong with a model, its files named from its own folder on: where that lies on the disk
/// is nobody's business.
fn from_folder(why: &str, id: &str) -> String {
    let Some(folder) = why.find(&format!("/{id}/")) else { return why.to_owned() };
    let path = why[..folder].rfind(' ').map_or(0, |space| space + 1);
    format!("{}{}", &why[..path], &why[folder + 1..])
}

/// `GET /v1/models`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "default": app.models.default_id(), "models": summaries(&app) }))
}

/// `GET /v1/models/{id}`.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<Value>> {
    let Path(id) =
        id.map_err(|error| Error::new(Kind::Malformed, "the path is not UTF-8").caused_by(error))?;
    let model = app.models.get(Some(&id))?;
    Ok(Json(describe(&model)))
}

/// All that there is to know of a model before it is asked.
pub(crate) fn describe(model: &Model) -> Value {
    let preprocess = model.preprocess();
    // The batch is free: camlens frees it where the file has it fixed.
    let [first, second, third] = preprocess.shape();
    let layers: Vec<Value> =
        model.layers().iter().map(|layer| describe_layer(model, layer)).collect();
    json!({
        "id": model.id(),
        "status": "ready",
        "file": model.folder().manifest.file,
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
            "kind": kind(model.output_activation()),
            "classes": model.classes(),
        },
        "labels": model.labels().all(),
        "layers": layers,
        "default_layer": model.default_layer().name,
        "methods": methods(model),
    })
}

/// One layer: its names, how it holds its maps, and what can be done with it.
fn describe_layer(model: &Model, layer: &Layer) -> Value {
    let unsupported_reason = model.gradient_unsupported_reason(layer);
    let works = |row: &&&MethodSpec| in_the_way(model, layer, row).is_none();
    let methods: Vec<&str> = METHODS.iter().filter(works).map(|row| row.name).collect();
    let mut described = json!({
        "name": layer.node,
        "alias": layer.name,
        "tensor": layer.tensor,
        "shape": layer.shape,
        "layout": layer.layout.name(),
        "gradients": unsupported_reason.is_none(),
        "methods": methods,
    });
    if unsupported_reason.is_none() {
        described["gradient"] =
            json!(if layer.is_straight_through { STRAIGHT_THROUGH } else { "exact" });
    }
    if let Some(unsupported_reason) = unsupported_reason {
        described["reason"] = json!(unsupported_reason);
    }
    described
}

/// The number as somebody would write it: 0.485, not the 0.48500001430511475 of its 32 bits.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// What can be had of a class: logits behind a softmax or a sigmoid, or only probabilities.
fn kind(link: OutputActivation) -> &'static str {
    match link {
        OutputActivation::Softmax => "logits",
        OutputActivation::Sigmoid => "sigmoid",
        OutputActivation::Unknown => "probabilities",
    }
}

/// Which methods work on the default layer, and if not, why.
fn methods(model: &Model) -> Map<String, Value> {
    let support = |row: &MethodSpec| match in_the_way(model, model.default_layer(), row) {
        Some(reason) => json!({ "available": false, "reason": reason }),
        None => json!({ "available": true }),
    };
    METHODS.iter().map(|row| (row.name.to_owned(), support(row))).collect()
}

/// Why a method does not work on a layer, if it doesn't.
fn in_the_way(model: &Model, layer: &Layer, row: &MethodSpec) -> Option<String> {
    match row.needs {
        Needs::Nothing | Needs::Masked => None,
        Needs::Gradient => model.gradient_unsupported_reason(layer).map(str::to_owned),
        Needs::Tail => model.tail_unsupported_reason(layer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_model_lies_on_the_disk_is_not_told() {
        assert_eq!(from_folder("/srv/models/a/model.onnx: no file", "a"), "a/model.onnx: no file");
        assert_eq!(from_folder("cannot read /srv/a/m.toml", "a"), "cannot read a/m.toml");
        assert_eq!(from_folder("a/m.toml: line 1", "a"), "a/m.toml: line 1");
    }
}
