//! SageMaker's real-time containers: `POST /invocations`; `GET /ping` is TorchServe's.
//!
//! SageMaker removes every header of a client but a few. The header of custom attributes passes
//! both ways, so it carries options in, `method=scorecam;target=281`, and the facts of the response
//! out. Without an `Accept` that names a form, the response is JSON.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::Map;

use super::batch::{self, Batch};
use super::instances::RawInstance;
use super::options::{self, Pairs};
use super::single::{SingleRequest, preferred_form};
use crate::app::Operation;
use crate::error::{Error, Kind, Result};
use crate::http::middleware::admission::upload::Upload;
use crate::http::response_headers;
use crate::http::state::AppState;

const ATTRIBUTES: &str = response_headers::SAGEMAKER_ATTRIBUTES;
/// SageMaker passes on no more than this.
const MAX_ATTRIBUTES_BYTES: usize = 1024;

/// One image, explained by the default model or the one that an option names.
pub(super) async fn invocations(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    let reading = SingleRequest::read(Operation::Explain, request, upload.limit_bytes());
    let SingleRequest { parts, image, options: in_body } = upload.read(reading).await?;
    let mut pairs = options::pairs(None, &parts, Map::new())?;
    pairs.extend(attributes(&parts.headers)?);
    pairs.extend(in_body);
    let preferred = preferred_form(Operation::Explain, &parts.headers);
    let options = options::parse(Operation::Explain, &pairs, preferred)?;
    let batch = Batch::new(&state, options, vec![RawInstance::Image(image)])?;
    let (responses, memory) = batch.execute(&state, upload, Operation::Explain).await?;
    let mut response = batch::only(responses)?.into_response();
    if let Some(facts) = facts(response.headers()) {
        response.headers_mut().insert(ATTRIBUTES, facts);
    }
    Ok(memory.until_sent(response))
}

/// The options in the custom attributes, `name=value;name=value`.
pub(in crate::http) fn attributes(headers: &HeaderMap) -> Result<Pairs> {
    let malformed = |detail: &str| Error::new(Kind::Malformed, format!("{ATTRIBUTES}: {detail}"));
    let mut pairs = Pairs::new();
    for header in headers.get_all(ATTRIBUTES) {
        let text = header.to_str().map_err(|_| malformed("it is not visible ASCII"))?;
        for attribute in text.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| malformed("options are name=value, separated by semicolons"))?;
            pairs.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(pairs)
}

/// What a response's own headers say, which SageMaker would remove.
fn facts(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut facts = String::new();
    for header in response_headers::FACTS {
        let Some(name) = header.strip_prefix("camlens-") else { continue };
        let Some(value) = headers.get(header).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        let fact = format!("{}{name}={value}", if facts.is_empty() { "" } else { ";" });
        if facts.len() + fact.len() <= MAX_ATTRIBUTES_BYTES {
            facts.push_str(&fact);
        }
    }
    HeaderValue::from_str(&facts).ok().filter(|facts| !facts.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Pairs> {
        let mut headers = HeaderMap::new();
        headers.insert(ATTRIBUTES, HeaderValue::from_static(text));
        attributes(&headers)
    }

    #[test]
    fn attributes_are_options() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("method", "gradcam++"), pair("target", "281")];
        assert_eq!(parse("method=gradcam++; target=281;").unwrap(), expected);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("target=a=b").unwrap(), [pair("target", "a=b")]);
        assert_eq!(parse("trace-42").unwrap_err().kind(), Kind::Malformed);
    }
}
