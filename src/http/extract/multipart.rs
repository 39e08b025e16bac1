//! `multipart/form-data`: the field `image` is the file; every other field is an option.

use std::convert::Infallible;

use bytes::Bytes;
use multer::Multipart;

use super::Contents;
use crate::error::{Error, Kind, Result};

/// Parses a complete form.
pub(super) async fn read(body: Bytes, boundary: String) -> Result<Contents> {
    let whole = std::future::ready(Ok::<_, Infallible>(body));
    let mut form = Multipart::new(futures_util::stream::once(whole), boundary);
    let mut contents = Contents { image: None, options: Vec::new() };
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(Error::new(Kind::Malformed, "a field of the form has no name"));
        };
        if name == "image" {
            if contents.image.is_some() {
                return Err(
                    Error::new(Kind::Malformed, "the form has two images; send one").about("image")
                );
            }
            contents.image = Some(field.bytes().await.map_err(malformed)?);
        } else {
            let value = field.bytes().await.map_err(malformed)?;
            let value = String::from_utf8(value.into()).map_err(|_| {
                Error::new(Kind::Malformed, format!("the field '{name}' is not UTF-8")).about(&name)
            })?;
            contents.options.push((name, value));
        }
    }
    Ok(contents)
}

fn malformed(error: multer::Error) -> Error {
    Error::new(Kind::Malformed, format!("the form could not be read: {error}")).caused_by(error)
}
