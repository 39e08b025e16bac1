//! Options as other protocols carry them: members of an object `parameters`, and the query.

use axum::http::request::Parts;
use serde_json::{Map, Value};

use crate::app::options::{Output, Preference};
use crate::app::{Operation, RequestOptions};
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::http::extract::{json, query};

/// Pairs of name and text.
pub(in crate::http) type Pairs = Vec<(String, String)>;

/// The options of a request to the model `name`: its query, and `parameters`.
///
/// # Errors
/// [`Kind::Option`] for a value that is no text, number or boolean.
pub(in crate::http) fn pairs(
    name: Option<&str>,
    parts: &Parts,
    parameters: Map<String, Value>,
) -> Result<Pairs> {
    let mut pairs: Pairs =
        name.map(|name| ("model".to_owned(), name.to_owned())).into_iter().collect();
    pairs.extend(query::options(parts));
    for (name, value) in parameters {
        if let Some(text) = json::option(&name, value)? {
            pairs.push((name, text));
        }
    }
    Ok(pairs)
}

/// Parses options whose response is part of a JSON document, so that no picture is possible.
///
/// # Errors
/// Those of [`RequestOptions::parse`], and [`Kind::Option`] about `output`.
pub(in crate::http) fn parse_for_json(
    operation: Operation,
    pairs: &Pairs,
) -> Result<RequestOptions> {
    let options = parse(operation, pairs, Output::Json)?;
    let output = options.rendering.output;
    if output != Output::Json {
        let detail = format!(
            "option 'output' can't be '{}' here, where the response is JSON; \
             /v1/explain gives pictures",
            output.name()
        );
        return Err(Error::new(Kind::Option, detail).about("output"));
    }
    Ok(options)
}

/// Parses options.
///
/// # Errors
/// Those of [`RequestOptions::parse`].
pub(in crate::http) fn parse(
    operation: Operation,
    pairs: &Pairs,
    preferred: impl Into<Preference>,
) -> Result<RequestOptions> {
    let pairs = pairs.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    RequestOptions::parse(operation, pairs, preferred)
}
