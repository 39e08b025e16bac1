//! `{"instances": […], "parameters": {…}}`, the body of KServe v1 and Vertex AI.
//!
//! Images have no fixed form there, so an instance may be `{"b64": "…"}`, a text in base64,
//! `{"image": …}` around one of these, or a nested array of the model's own input values.

use std::fmt;

use axum::extract::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::nested::Nested;
use super::{body, bounded};
use crate::app::Instance;
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::http::extract::json::from_base64;
use crate::text::{self, shortened};

/// The largest number of instances in a request. Each is a request's worth of work.
const MAX_INSTANCES: usize = 64;

/// Why a body without a list of instances is refused. Clients of KServe know the first sentence.
const NO_LIST: &str = "Expected \"instances\" to be a list";

/// What instances may be.
const FORMS: &str = "an instance is an image file in base64, {\"b64\": …}, {\"image\": …}, or a \
                     nested array of the model's input values";

/// A request with instances.
#[derive(Debug)]
pub(in crate::http) struct InstancesRequest {
    /// The instances; at least one.
    pub(in crate::http) instances: Vec<RawInstance>,
    /// The options.
    pub(in crate::http) parameters: Map<String, Value>,
}

/// An instance as it was sent.
#[derive(Debug)]
pub(in crate::http) enum RawInstance {
    /// An image file.
    Image(Bytes),
    /// Numbers, still without a model that they belong to.
    Values(Nested),
}

impl InstancesRequest {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// [`Kind::Malformed`].
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            instances: Option<List>,
            #[serde(default, deserialize_with = "bounded::parameters")]
            parameters: Map<String, Value>,
        }
        let malformed = |detail: String| Error::new(Kind::Malformed, detail);
        let text = text::decode(body).map_err(|error| malformed(format!("the JSON {error}")))?;
        let body: Body = serde_json::from_str(text).map_err(|error| {
            malformed(format!("the JSON could not be read: {error}")).caused_by(error)
        })?;
        let Some(List { instances, count }) = body.instances else {
            return Err(malformed(NO_LIST.to_owned()));
        };
        check_count(count)?;
        Ok(Self { instances, parameters: body.parameters })
    }

    /// Reads a request whose body is JSON or one image file.
    ///
    /// # Errors
    /// Those of [`body::read`] and [`InstancesRequest::parse`].
    pub(in crate::http) async fn read(
        request: Request,
        limit_bytes: usize,
    ) -> Result<(Parts, Self)> {
        let (parts, bytes) = body::read(request, limit_bytes).await?;
        let parsing = body::blocking(move || match body::is_json(&bytes) {
            true => Self::parse(&bytes),
            false => {
                let instances = vec![RawInstance::Image(bytes)];
                Ok(Self { instances, parameters: Map::new() })
            }
        });
        Ok((parts, parsing.await?))
    }
}

/// Checks the number of instances of a request.
///
/// # Errors
/// [`Kind::Malformed`] for none or too many.
pub(super) fn check_count(count: usize) -> Result<()> {
    match count {
        1..=MAX_INSTANCES => Ok(()),
        0 => Err(Error::new(Kind::Malformed, "the request has no instance")),
        _ => {
            let detail = format!("the request has {count} instances; {MAX_INSTANCES} are possible");
            Err(Error::new(Kind::Malformed, detail))
        }
    }
}

impl RawInstance {
    /// The instance, for a model.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for an array of another shape than the model's input.
    pub(super) fn into_instance(self, model: &Model) -> Result<Instance> {
        match self {
            Self::Image(image) => Ok(Instance::Image(image)),
            Self::Values(Nested { shape, numbers, texts }) if texts.is_empty() => {
                Instance::from_values(model, &shape, numbers)
            }
            Self::Values(_) => Err(Error::new(Kind::Malformed, FORMS)),
        }
    }
}

/// A list of instances, whose refusal says so.
#[derive(Debug)]
struct List {
    /// The instances, up to the largest number.
    instances: Vec<RawInstance>,
    /// How many there are in all.
    count: usize,
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Instances;
        impl<'de> Visitor<'de> for Instances {
            type Value = List;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of instances")
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<List, A::Error> {
                let mut instances = Vec::new();
                while instances.len() < MAX_INSTANCES {
                    match seq.next_element()? {
                        Some(instance) => instances.push(instance),
                        None => return Ok(List { count: instances.len(), instances }),
                    }
                }
                // More are refused, so they are counted, not kept.
                let mut count = instances.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(List { instances, count })
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> std::result::Result<List, E> {
                Err(E::custom(NO_LIST))
            }
            fn visit_bool<E: serde::de::Error>(self, _: bool) -> std::result::Result<List, E> {
                Err(E::custom(NO_LIST))
            }
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> std::result::Result<List, E> {
                Err(E::custom(NO_LIST))
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> std::result::Result<List, E> {
                Err(E::custom(NO_LIST))
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> std::result::Result<List, E> {
                Err(E::custom(NO_LIST))
            }
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> std::result::Result<List, A::Error> {
                Err(A::Error::custom(NO_LIST))
            }
        }
        deserializer.deserialize_any(Instances)
    }
}

impl<'de> Deserialize<'de> for RawInstance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawInstance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }
            fn visit_str<E: serde::de::Error>(
                self,
                text: &str,
            ) -> std::result::Result<RawInstance, E> {
                let image = from_base64(text).map_err(|error| E::custom(error.detail()))?;
                Ok(RawInstance::Image(image))
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                seq: A,
            ) -> std::result::Result<RawInstance, A::Error> {
                Nested::from_seq(seq).map(RawInstance::Values)
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<RawInstance, A::Error> {
                let name: String = map.next_key()?.unwrap_or_default();
                if !matches!(name.as_str(), "b64" | "image") {
                    let detail = match name.as_str() {
                        "" => FORMS.to_owned(),
                        name => {
                            format!("an instance has no member '{}'; {FORMS}", shortened(name))
                        }
                    };
                    return Err(A::Error::custom(detail));
                }
                let instance: RawInstance = map.next_value()?;
                if name == "b64" && !matches!(instance, RawInstance::Image(_)) {
                    return Err(A::Error::custom(FORMS));
                }
                match map.next_key::<String>()? {
                    None => Ok(instance),
                    Some(name) => {
                        let name = shortened(&name);
                        let detail = format!(
                            "an instance has no member '{name}' besides its image; options are \
                             members of 'parameters'"
                        );
                        Err(A::Error::custom(detail))
                    }
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}
