//! A request about one image, as TorchServe's and SageMaker's clients send it: the file as the
//! body, as a field of a form, or in JSON as for `/v1/explain`.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;

use super::body;
use super::options::Pairs;
use crate::app::Operation;
use crate::app::options::{Output, Preference};
use crate::error::{Error, Kind, Result};
use crate::http::extract::parameters::Parametrised;
use crate::http::extract::{Contents, accept, check_names, json, multipart};
use crate::text::without_mark;

/// The names of the form's field that holds the file. TorchServe's is `data`, or `body`.
const FILE_FIELDS: [&str; 3] = ["data", "body", "image"];

/// A body with its image.
pub(in crate::http) struct SingleRequest {
    pub(in crate::http) parts: Parts,
    pub(in crate::http) image: Bytes,
    /// The options in the body.
    pub(in crate::http) options: Pairs,
}

impl SingleRequest {
    /// Reads a request with a body of at most `limit_bytes`.
    ///
    /// # Errors
    /// Those of [`body::read`], and [`Kind::Malformed`].
    pub(in crate::http) async fn read(
        operation: Operation,
        request: Request,
        limit_bytes: usize,
    ) -> Result<Self> {
        let (parts, bytes) = body::read(request, limit_bytes).await?;
        let Contents { image, options } = match boundary(&parts.headers) {
            Some(boundary) => form(operation, bytes, boundary).await?,
            None if body::is_json(&bytes) => {
                body::blocking(move || json::read(operation, &bytes)).await?
            }
            None => Contents { image: Some(bytes), options: Vec::new() },
        };
        let image = image.ok_or_else(|| {
            let detail = "there is no image: send it as the body, as the form's field 'data', \
                          or as 'image' in JSON";
            Error::new(Kind::Malformed, detail)
        })?;
        Ok(Self { parts, image, options })
    }
}

/// The form of the response that `Accept` names; JSON unless it names another. A gateway adds
/// `*/*`, so that prefers nothing.
pub(super) fn preferred_form(operation: Operation, headers: &HeaderMap) -> Preference {
    const NAMED: [&str; 6] = [
        "application/json",
        "application/x-npy",
        "image/*",
        "image/png",
        "image/jpeg",
        "image/webp",
    ];
    let is_named = |text: &str| {
        let ranges = text.split(',').filter_map(|range| range.split(';').next());
        ranges.map(|range| range.trim().to_ascii_lowercase()).any(|r| NAMED.contains(&r.as_str()))
    };
    let named = headers.get_all(ACCEPT).iter().filter(|value| value.to_str().is_ok_and(is_named));
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Output::Json.into();
    }
    accept::preferred(operation, named).form
}

/// The boundary of a form.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = Parametrised::parse(headers.get(CONTENT_TYPE)?.as_bytes()).ok()?;
    let boundary = content_type.get("boundary")?.to_owned();
    (content_type.value == "multipart/form-data" && !boundary.is_empty()).then_some(boundary)
}

/// The file and the options of a form.
async fn form(operation: Operation, body: Bytes, boundary: String) -> Result<Contents> {
    let mut contents = Contents { image: None, options: Vec::new() };
    let parts = multipart::parts(body, boundary).await?;
    let names = parts.iter().map(|part| part.name.as_str());
    check_names(operation, names, "field", &FILE_FIELDS)?;
    for part in parts {
        if !FILE_FIELDS.contains(&part.name.as_str()) {
            let text = without_mark(&part.text()?).to_owned();
            contents.options.push((part.name, text));
        } else if contents.image.replace(part.bytes).is_some() {
            let detail = "the form has two images; send one";
            return Err(Error::new(Kind::Malformed, detail));
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_response_is_json_unless_accept_names_another_form() {
        let output = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            preferred_form(Operation::Explain, &headers).output
        };
        assert_eq!(output(None), Output::Json);
        assert_eq!(output(Some("*/*")), Output::Json);
        assert_eq!(output(Some("text/html, */*;q=0.1")), Output::Json);
        assert_eq!(output(Some("application/json")), Output::Json);
        assert_eq!(output(Some("image/png")), Output::Overlay);
        assert_eq!(output(Some("image/jpeg")), Output::Overlay);
        assert_eq!(output(Some("Application/X-NPY")), Output::Npy);
    }
}
