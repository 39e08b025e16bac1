//! The sample pictures of the web page: `GET /samples` and `GET /samples/{file}`.
//!
//! They are part of the binary. `web/samples/samples.json` says what each shows, whose it is and
//! which model it is for; `tools samples` makes the files.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::state::AppState;
use crate::error::{Error, Kind, Result};
use crate::text::shortened;

macro_rules! samples {
    ($($file:literal),+ $(,)?) => {
        [$(($file, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/samples/", $file)))),+]
    };
}

static FILES: [(&str, &[u8]); 6] = samples![
    "astronaut.jpg",
    "chelsea.jpg",
    "clock_motion.jpg",
    "coffee.jpg",
    "phantom.jpg",
    "rocket.jpg",
];

/// One sample, as the page shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Sample {
    file: String,
    title: String,
    credit: String,
    license: String,
    /// The model that knows such pictures.
    model: String,
}

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/samples/samples.json"));
    serde_json::from_str(text).expect("a test parses this file")
});

/// The samples for which the service has a model.
pub(super) async fn list(State(state): State<Arc<AppState>>) -> Json<Vec<Sample>> {
    let models: Vec<String> = state.models.list().into_iter().map(|(id, _)| id).collect();
    let has_model = |sample: &&Sample| models.contains(&sample.model);
    Json(SAMPLES.iter().filter(has_model).cloned().collect())
}

/// One picture.
pub(super) async fn file(name: Result<Path<String>, PathRejection>, uri: Uri) -> Result<Response> {
    let found = name.ok().and_then(|Path(name)| FILES.iter().find(|(file, _)| *file == name));
    let (_, bytes) = found.ok_or_else(|| {
        let path = shortened(uri.path());
        Error::new(Kind::NotFound, format!("there is nothing at {path}; /samples lists the files"))
    })?;
    let headers = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "public, max-age=86400")];
    Ok((headers, *bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_file_and_every_file_its_sample() {
        let mut listed: Vec<&str> = SAMPLES.iter().map(|sample| sample.file.as_str()).collect();
        listed.sort_unstable();
        assert_eq!(listed, FILES.map(|(file, _)| file));
    }
}
