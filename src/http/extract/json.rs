//! `application/json`: one object whose member `image` is the file in base64; every other member is
//! an option.
//!
//! The text is checked first, and its values are parsed one by one: a body can be tens of megabytes,
//! and a tree of all its values could take ten times that.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Contents, check_names};
use crate::app::Operation;
use crate::app::options::is_list;
use crate::error::{Error, Kind, Result};
use crate::text::{self, shortened, without_mark};

/// Base64 with or without padding: both are in use.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An option's value is not longer than this.
const MAX_OPTION_BYTES: usize = 64 << 10;

/// The most members of a body. An option may be given twice, so there is no exact number.
const MAX_MEMBERS: usize = 256;

/// The members in order, with the text of their values. A map would silently keep the last of two
/// with the same name.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a member 'image'")
            }
            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.len() == MAX_MEMBERS {
                        let detail = format!("there are more than {MAX_MEMBERS} members");
                        return Err(M::Error::custom(detail));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Reads a JSON body.
pub(in crate::http) fn read(operation: Operation, body: &[u8]) -> Result<Contents> {
    let text = text::decode(body)
        .map_err(|error| Error::new(Kind::Malformed, format!("the JSON {error}")))?;
    if text.trim().is_empty() {
        // Generated clients send this where they were given a file: Content-Type is JSON by default.
        let detail = "the JSON is empty; send an object with a member 'image', or a form or an \
                      image with the Content-Type of that";
        return Err(Error::new(Kind::Malformed, detail).about("image"));
    }
    let Members(members) = serde_json::from_str(text).map_err(unreadable)?;
    let names = members.iter().map(|(name, _)| name.as_str());
    check_names(operation, names, "member", &["image"])?;
    let mut contents = Contents { image: None, options: Vec::new() };
    for (name, value) in members {
        if name == "image" {
            if contents.image.is_some() {
                return Err(
                    Error::new(Kind::Malformed, "the JSON has two images; send one").about("image")
                );
            }
            contents.image = Some(image(value)?);
        } else if let Some(value) = raw_option(&name, value)? {
            contents.options.push((name, value));
        }
    }
    Ok(contents)
}

fn unreadable(error: serde_json::Error) -> Error {
    // A value of the wrong type is quoted in it.
    let reason = error.to_string();
    let detail = format!("the JSON could not be read: {}", shortened(&reason));
    Error::new(Kind::Malformed, detail).caused_by(error)
}

/// The string that a value is, borrowed if nothing in it is escaped.
fn string(value: &RawValue) -> Option<Result<Cow<'_, str>>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(if inner.contains('\\') {
        serde_json::from_str(text).map(Cow::Owned).map_err(unreadable)
    } else {
        Ok(Cow::Borrowed(inner))
    })
}

fn image(value: &RawValue) -> Result<Bytes> {
    let malformed = |detail: String| Error::new(Kind::Malformed, detail).about("image");
    let Some(text) = string(value) else {
        return Err(malformed("'image' must be a string: the file in base64".into()));
    };
    from_base64(&text?)
}

/// A file in base64, with or without the head of a `data:` address.
///
/// # Errors
/// [`Kind::Malformed`].
pub(in crate::http) fn from_base64(text: &str) -> Result<Bytes> {
    let malformed = |detail: String| Error::new(Kind::Malformed, detail).about("image");
    let text = without_mark(text).trim_start();
    // Schemes and the word base64 have no case (RFC 3986, RFC 2397).
    let is_address = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let base64 = if is_address {
        let is_base64 = |head: &str| {
            let last = head.rsplit(';').next().unwrap_or_default().trim();
            head.contains(';') && last.eq_ignore_ascii_case("base64")
        };
        match text.split_once(',') {
            Some((head, base64)) if is_base64(head) => base64,
            _ => return Err(malformed("the data: address in 'image' has no ';base64,'".into())),
        }
    } else {
        text
    };
    // Encoders for e-mail break lines.
    let base64: Cow<'_, [u8]> = if base64.bytes().any(|byte| byte.is_ascii_whitespace()) {
        base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect()
    } else {
        base64.as_bytes().into()
    };
    let bytes = BASE64
        .decode(base64.as_ref())
        .map_err(|error| malformed(format!("'image' is not base64: {error}")))?;
    Ok(bytes.into())
}

fn wrong_option(name: &str) -> Error {
    let or_list = if is_list(name) { ", or a list of names" } else { "" };
    let detail = format!("option '{name}' must be a string, a number or a boolean{or_list}");
    Error::new(Kind::Option, detail).about(name)
}

/// An option's value as text; `null` means that the option is not given.
fn raw_option(name: &str, value: &RawValue) -> Result<Option<String>> {
    if value.get().len() > MAX_OPTION_BYTES {
        let detail = format!("option '{name}' is longer than {MAX_OPTION_BYTES} bytes");
        return Err(Error::new(Kind::Option, detail).about(name));
    }
    option(name, serde_json::from_str(value.get()).map_err(unreadable)?)
}

/// An option's value as text; `null` means that the option is not given.
///
/// # Errors
/// [`Kind::Option`] for a value that is no text, number, boolean or list of names.
pub(in crate::http) fn option(name: &str, value: Value) -> Result<Option<String>> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Array(items) if is_list(name) => {
            let text = |item: &Value| match item {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let names: Option<Vec<String>> = items.iter().map(text).collect();
            names.ok_or_else(|| wrong_option(name))?.join(",")
        }
        Value::Array(_) | Value::Object(_) => return Err(wrong_option(name)),
    }))
}
