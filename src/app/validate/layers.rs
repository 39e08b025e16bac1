//! Resolves the `layer` option.

use crate::app::comma_list::split;
use crate::app::explain_options::ExplainOptions;
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::explain::multi_layer::MAX_LAYERS;
use crate::graph::layers::Layer;

/// The layers that a request names, or the model's default; at least one.
pub(super) fn resolve<'a>(model: &'a Model, options: &ExplainOptions) -> Result<Vec<&'a Layer>> {
    let Some(list) = &options.layer else { return Ok(vec![model.default_layer()]) };
    let invalid = |detail: String| Err(Error::new(Kind::Option, detail).about("layer"));
    let mut layers: Vec<&Layer> = Vec::new();
    for name in split(list, |name| model.layer(Some(name)).is_ok()) {
        if name.is_empty() {
            return invalid("option 'layer' has an empty entry between its commas".into());
        }
        if layers.len() == MAX_LAYERS {
            return invalid(format!("option 'layer' takes {MAX_LAYERS} layers at most"));
        }
        let layer = model.layer(Some(name)).map_err(|error| error.in_model(model.id()))?;
        if layers.contains(&layer) {
            return invalid(format!("option 'layer' names layer '{}' twice", layer.name));
        }
        layers.push(layer);
    }
    Ok(layers)
}
