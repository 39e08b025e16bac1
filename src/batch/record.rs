//! One line of the manifest: what became of an image.

use serde::{Deserialize, Serialize};

use crate::app::Explained;
use crate::error::Error;
use crate::explain::{Choice, Explanation, Prediction};
use crate::warning::{Warning, WarningCode};

/// What became of an image.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    pub(super) id: String,
    /// Of the image file; absent if it could not be read.
    pub(super) sha256: Option<String>,
    /// The most probable class.
    pub(super) prediction: Option<Prediction>,
    /// One for each class that was explained.
    pub(super) maps: Vec<MapRecord>,
    /// The picture's path in the folder of results.
    pub(super) picture: Option<String>,
    /// The codes of warnings about this image; those of the model are in `run.json`.
    pub(super) warnings: Vec<WarningCode>,
    pub(super) error: Option<ErrorRecord>,
}

/// One map.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MapRecord {
    pub(super) method: &'static str,
    pub(super) layer: String,
    pub(super) target: Prediction,
    /// Whether nothing in the layer supports the class; the map is all zeros then.
    pub(super) empty: bool,
    /// `[height, width]`.
    pub(super) shape: [usize; 2],
    /// The file that holds it; absent if no maps are written.
    pub(super) file: Option<String>,
    /// Its row in that file, from 0.
    pub(super) row: Option<usize>,
}

/// Why an image has no map.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ErrorRecord {
    /// A name that never changes, as in the `type` of a problem over HTTP.
    r#type: &'static str,
    detail: String,
}

/// The part of a record that a resumed run needs.
#[derive(Deserialize)]
pub(super) struct RecordId {
    pub(super) id: String,
}

impl Record {
    /// Of an image that was explained. Maps have no place yet. Warnings `of_model` stand in
    /// `run.json`, once.
    pub(super) fn explained(
        id: String,
        sha256: String,
        explained: &Explained,
        of_model: &[Warning],
    ) -> Self {
        let maps = explained.explanations.iter().zip(&explained.maps).map(|(explanation, map)| {
            let (height, width) = map.dim();
            MapRecord::new(explanation, [height, width])
        });
        let first = explained.explanations.first();
        let mut warnings: Vec<WarningCode> = Vec::new();
        for warning in explained.explanations.iter().flat_map(|one| &one.warnings) {
            if !of_model.contains(warning) && !warnings.contains(&warning.code) {
                warnings.push(warning.code);
            }
        }
        Self {
            id,
            sha256: Some(sha256),
            prediction: first.and_then(|first| first.predictions.first().cloned()),
            maps: maps.collect(),
            picture: None,
            warnings,
            error: None,
        }
    }

    /// Of an image that has no map.
    pub(super) fn failed(id: String, sha256: Option<String>, error: &Error) -> Self {
        let error = ErrorRecord { r#type: error.kind().slug(), detail: error.to_string() };
        Self {
            id,
            sha256,
            prediction: None,
            maps: Vec::new(),
            picture: None,
            warnings: Vec::new(),
            error: Some(error),
        }
    }
}

impl MapRecord {
    fn new(explanation: &Explanation, shape: [usize; 2]) -> Self {
        Self {
            method: explanation.method.name(),
            layer: explanation.layer.clone(),
            target: explanation.target.clone(),
            empty: explanation.empty,
            shape,
            file: None,
            row: None,
        }
    }
}
