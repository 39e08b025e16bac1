//! Parses an inference request: JSON, JSON followed by binary tensors, or one bare image.

use std::fmt;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::tensor;
use crate::error::{Error, Kind, Result};
use crate::http::extract::json;
use crate::http::protocols::bounded::{self, List};
use crate::http::protocols::instances::{RawInstance, check_count};
use crate::http::protocols::nested::Nested;
use crate::http::protocols::options::Pairs;
use crate::spelling::nearest;
use crate::text;

/// The length of the JSON in front of binary tensors, before compression.
pub(super) const HEADER_LENGTH: &str = crate::http::response_headers::INFERENCE_LENGTH;

/// Parameters of a request that are no options: other servers read them, or this module does.
const NOT_OPTIONS: [&str; 9] = [
    "binary_data_output",
    "content_type",
    "explain_parameters",
    "headers",
    "priority",
    "sequence_end",
    "sequence_id",
    "sequence_start",
    "timeout",
];

/// The JSON of a request.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct InferRequest {
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "bounded::parameters")]
    parameters: Map<String, Value>,
    #[serde(default)]
    inputs: List<Input>,
    pub(super) outputs: Option<List<RequestedOutput>>,
    /// Whether the whole body is one image, without JSON.
    #[serde(skip)]
    is_raw: bool,
}

/// An input; `data` in JSON, or its bytes after the JSON.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) datatype: String,
    #[serde(default, deserialize_with = "bounded::parameters")]
    pub(super) parameters: Map<String, Value>,
    pub(super) data: Option<Nested>,
    #[serde(skip)]
    pub(super) binary: Option<Bytes>,
}

/// An output that a request names.
#[derive(Debug, Deserialize)]
pub(super) struct RequestedOutput {
    pub(super) name: String,
    #[serde(default, deserialize_with = "bounded::parameters")]
    pub(super) parameters: Map<String, Value>,
}

pub(super) fn malformed(detail: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, detail.into())
}

impl InferRequest {
    /// Parses a body that has been decompressed.
    ///
    /// # Errors
    /// [`Kind::Malformed`].
    pub(in crate::http) fn parse(headers: &HeaderMap, body: Bytes) -> Result<Self> {
        let length = header_length(headers, body.len())?;
        if length == Some(0) {
            let image = Input {
                name: "image".into(),
                shape: vec![1],
                datatype: "BYTES".into(),
                binary: Some(tensor::bytes_tensor([&body[..]]).into()),
                ..Input::default()
            };
            return Ok(Self { inputs: List(vec![image]), is_raw: true, ..Self::default() });
        }
        let length = length.unwrap_or(body.len());
        let text = text::decode(&body[..length])
            .map_err(|error| malformed(format!("the JSON {error}")))?;
        let unreadable = |error: serde_json::Error| {
            malformed(format!("the JSON could not be read: {error}")).caused_by(error)
        };
        let MemberNames = serde_json::from_str(text).map_err(unreadable)?;
        let mut request: Self = serde_json::from_str(text).map_err(unreadable)?;
        request.take_binary(body.slice(length..))?;
        Ok(request)
    }

    /// Gives each binary input its part of the bytes after the JSON.
    fn take_binary(&mut self, mut rest: Bytes) -> Result<()> {
        for input in &mut self.inputs.0 {
            let Some(size) = input.parameters.get("binary_data_size") else { continue };
            let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
            let Some(size) = size.filter(|size| *size <= rest.len()) else {
                let detail = format!(
                    "input '{}': binary_data_size is not the size of its data; {} bytes are left",
                    input.name,
                    rest.len()
                );
                return Err(malformed(detail));
            };
            if input.data.is_some() {
                let detail = format!("input '{}' has both data and binary data", input.name);
                return Err(malformed(detail));
            }
            input.binary = Some(rest.split_to(size));
        }
        match rest.len() {
            0 => Ok(()),
            left => Err(malformed(format!("{left} bytes after the JSON belong to no input"))),
        }
    }

    /// The one input, as instances for a model whose own input is called `own`.
    ///
    /// # Errors
    /// [`Kind::Malformed`].
    pub(in crate::http) fn instances(&mut self, own: &str) -> Result<Vec<RawInstance>> {
        let names: Vec<&str> = self.inputs.0.iter().map(|input| input.name.as_str()).collect();
        let [_] = names.as_slice() else {
            let detail = format!(
                "the request has {} inputs; it takes one: 'image' (BYTES) or '{own}' (FP32)",
                names.len()
            );
            return Err(malformed(detail));
        };
        let input = self.inputs.0.pop().unwrap_or_default();
        let instances = match (input.name.as_str(), input.datatype.as_str()) {
            ("image", "BYTES") => tensor::images(input)?,
            (name, "FP32") if name == own => tensor::values(input)?,
            (name, datatype) => {
                let detail = format!(
                    "there is no input '{name}' of {datatype}; there are 'image' (BYTES) and \
                     '{own}' (FP32)"
                );
                return Err(malformed(detail));
            }
        };
        check_count(instances.len())?;
        Ok(instances)
    }

    /// Whether outputs are binary unless they say otherwise.
    pub(super) fn is_binary(&self) -> bool {
        self.is_raw || is_true(&self.parameters, "binary_data_output")
    }

    /// Whether an MLServer client asks an explainer.
    pub(super) fn asks_explainer(&self) -> bool {
        self.parameters.contains_key("explain_parameters")
    }

    /// The options: parameters that have no other meaning, and MLServer's `explain_parameters`.
    ///
    /// # Errors
    /// [`Kind::Option`].
    pub(in crate::http) fn options(&self) -> Result<Pairs> {
        let of_explainer = match self.parameters.get("explain_parameters") {
            Some(Value::Object(parameters)) => Some(parameters),
            Some(Value::Null) | None => None,
            Some(_) => {
                let detail = "parameter 'explain_parameters' must be an object of options";
                return Err(Error::new(Kind::Option, detail));
            }
        };
        let of_request =
            self.parameters.iter().filter(|(name, _)| !NOT_OPTIONS.contains(&name.as_str()));
        let mut pairs = Pairs::new();
        for (name, value) in of_request.chain(of_explainer.into_iter().flatten()) {
            if let Some(text) = json::option(name, value.clone())? {
                pairs.push((name.clone(), text));
            }
        }
        Ok(pairs)
    }
}

/// The members of a request's object. Those of other servers are ignored, as the protocol wants;
/// a misspelt one is not, because its options or inputs would be missing without a word.
struct MemberNames;

impl<'de> Deserialize<'de> for MemberNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = MemberNames;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a member 'inputs'")
            }
            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<MemberNames, M::Error> {
                const KNOWN: [&str; 4] = ["id", "parameters", "inputs", "outputs"];
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    let near = nearest(&name, KNOWN).filter(|near| *near != name);
                    if let Some(near) = near {
                        let detail =
                            format!("there is no member '{name}' here (did you mean '{near}'?)");
                        return Err(M::Error::custom(detail));
                    }
                }
                Ok(MemberNames)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Whether a parameter is `true`.
pub(super) fn is_true(parameters: &Map<String, Value>, name: &str) -> bool {
    parameters.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// The length of the JSON, if the client sent it.
fn header_length(headers: &HeaderMap, body_bytes: usize) -> Result<Option<usize>> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length {
        Some(length) if length <= body_bytes => Ok(Some(length)),
        _ => {
            let detail = format!(
                "Inference-Header-Content-Length must be from 0 to the body's {body_bytes} bytes"
            );
            Err(malformed(detail))
        }
    }
}
