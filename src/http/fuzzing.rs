//! What the fuzz targets in `fuzz/` call: a request is read as its handler reads it, up to where
//! the handler needs a model. Not part of the API.

use axum::extract::Request;
use axum::http::HeaderMap;
use bytes::Bytes;
use opentelemetry::trace::TraceContextExt;
use serde_json::Map;

use super::extract::ExtractedRequest;
use super::middleware::request_span::client_context;
use super::protocols::instances::{InstancesRequest, RawInstance};
use super::protocols::nested::Nested;
use super::protocols::oip::request::InferRequest;
use super::protocols::single::SingleRequest;
use super::protocols::{body, options, sagemaker};
use crate::app::options::Output;
use crate::app::{Operation, RequestOptions};
use crate::error::Result;

/// What was read of a request.
#[derive(Debug, PartialEq)]
pub struct Reading {
    /// The image files.
    pub images: Vec<Bytes>,
    /// The arrays of numbers: their shapes, and the number of values.
    pub arrays: Vec<(Vec<usize>, usize)>,
    /// The options.
    pub options: RequestOptions,
}

impl Reading {
    fn new(instances: Vec<RawInstance>, options: RequestOptions) -> Self {
        let mut reading = Self { images: Vec::new(), arrays: Vec::new(), options };
        for instance in instances {
            match instance {
                RawInstance::Image(image) => reading.images.push(image),
                RawInstance::Values(Nested { shape, numbers, .. }) => {
                    reading.arrays.push((shape, numbers.len()));
                }
            }
        }
        reading
    }
}

/// A request to `/v1/explain`, `/v1/compare` or `/v1/predict`.
///
/// # Errors
/// As the path's handler.
pub async fn native(operation: Operation, request: Request, limit_bytes: usize) -> Result<Reading> {
    let read = ExtractedRequest::read(operation, request, limit_bytes).await?.request;
    Ok(Reading::new(vec![RawInstance::Image(read.image)], read.options))
}

/// A request to KServe's or Vertex AI's paths.
///
/// # Errors
/// As the path's handler.
pub async fn instances(
    operation: Operation,
    request: Request,
    limit_bytes: usize,
) -> Result<Reading> {
    let read = InstancesRequest::read(request, limit_bytes).await?;
    let (parts, InstancesRequest { instances, parameters }) = read;
    let pairs = options::pairs(Some("model"), &parts, parameters)?;
    Ok(Reading::new(instances, options::parse_for_json(operation, &pairs)?))
}

/// A request to SageMaker's or TorchServe's paths.
///
/// # Errors
/// As the path's handler.
pub async fn single(operation: Operation, request: Request, limit_bytes: usize) -> Result<Reading> {
    let read = SingleRequest::read(operation, request, limit_bytes).await?;
    let mut pairs = options::pairs(None, &read.parts, Map::new())?;
    pairs.extend(sagemaker::attributes(&read.parts.headers)?);
    pairs.extend(read.options);
    let options = options::parse(operation, &pairs, Output::Json)?;
    Ok(Reading::new(vec![RawInstance::Image(read.image)], options))
}

/// A request to the Open Inference Protocol's path, for a model whose input is called `x`.
///
/// # Errors
/// As the path's handler.
pub async fn infer(request: Request, limit_bytes: usize) -> Result<Reading> {
    let (parts, bytes) = body::read(request, limit_bytes).await?;
    let headers = parts.headers.clone();
    let mut read = body::blocking(move || InferRequest::parse(&headers, bytes)).await?;
    let mut pairs = options::pairs(None, &parts, Map::new())?;
    pairs.extend(read.options()?);
    let options = options::parse_for_json(Operation::Explain, &pairs)?;
    Ok(Reading::new(read.instances("x")?, options))
}

/// The ids of the trace and of the span that a client's `traceparent` names, in hexadecimal.
#[must_use]
pub fn client_span(headers: &HeaderMap) -> Option<[String; 2]> {
    let context = client_context(headers);
    let span = context.span().span_context().clone();
    span.is_valid().then(|| [span.trace_id().to_string(), span.span_id().to_string()])
}
