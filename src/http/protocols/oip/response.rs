//! Writes an inference response: JSON, followed by the binary outputs.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::request::HEADER_LENGTH;
use super::{VERSION, tensor};
use crate::error::{Error, Result};

/// The values of an output in row-major order.
pub(super) enum Values {
    Fp32(Vec<f32>),
    Int64(Vec<i64>),
    Bytes(Vec<String>),
}

/// One output.
pub(super) struct Output {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
    /// Whether its values follow the JSON.
    pub(super) is_binary: bool,
}

/// A response.
#[derive(Serialize)]
pub(super) struct InferResponse {
    pub(super) model_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) parameters: Value,
    pub(super) outputs: Vec<Output>,
}

impl Values {
    const fn datatype(&self) -> &'static str {
        match self {
            Self::Fp32(_) => "FP32",
            Self::Int64(_) => "INT64",
            Self::Bytes(_) => "BYTES",
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Fp32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bytes(values) => tensor::bytes_tensor(values.iter().map(String::as_bytes)),
        }
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Fp32(values) => values.serialize(serializer),
            Self::Int64(values) => values.serialize(serializer),
            Self::Bytes(values) => values.serialize(serializer),
        }
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            name: &'a str,
            shape: &'a [usize],
            datatype: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            parameters: Option<Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a Values>,
        }
        let Self { name, shape, values, is_binary } = self;
        let parameters = match (is_binary, values) {
            (true, _) => Some(json!({ "binary_data_size": values.to_bytes().len() })),
            // MLServer's codec for texts.
            (false, Values::Bytes(_)) => Some(json!({ "content_type": "str" })),
            (false, _) => None,
        };
        let data = Some(values).filter(|_| !is_binary);
        Fields { name, shape, datatype: values.datatype(), parameters, data }.serialize(serializer)
    }
}

impl InferResponse {
    /// The response over HTTP.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal) if writing JSON fails.
    pub(super) fn write(&self) -> Result<Response> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            response: &'a InferResponse,
            model_version: &'a str,
        }
        let mut body = serde_json::to_vec(&Body { response: self, model_version: VERSION })
            .map_err(|error| Error::internal("writing JSON", error))?;
        let length = body.len();
        for output in self.outputs.iter().filter(|output| output.is_binary) {
            body.extend_from_slice(&output.values.to_bytes());
        }
        if !self.outputs.iter().any(|output| output.is_binary) {
            return Ok(([(CONTENT_TYPE, "application/json")], body).into_response());
        }
        let mut response = ([(CONTENT_TYPE, "application/octet-stream")], body).into_response();
        response.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(length));
        Ok(response)
    }
}
