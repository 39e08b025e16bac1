//! Checks that the response can have the form and size that a request asks for.

use crate::app::operation::Operation;
use crate::app::options::{Output, Rendering, Size};
use crate::error::{Error, Kind, Result};

/// The largest number of map values in a JSON response, some 20 MB of text. The map of a whole
/// photograph would be hundreds of megabytes.
const MAX_JSON_VALUES: u64 = 2_000_000;

/// Checks the form of the response.
///
/// `classes` is the number of classes, `pixels` the number of pixels of the image, and `max_pixels`
/// that of the largest image that is accepted.
///
/// # Errors
/// [`Kind::Option`] about `target`, `output` or `size`.
pub fn check(
    operation: Operation,
    rendering: &Rendering,
    classes: usize,
    pixels: u64,
    max_pixels: u64,
) -> Result<()> {
    let refuse = |option: &str, detail: String| Err(Error::new(Kind::Option, detail).about(option));
    let Rendering { output, size, .. } = *rendering;
    if classes > 1 && operation == Operation::Compare {
        return refuse(
            "target",
            format!(
                "a comparison explains one class, and 'target' names {classes}; explain \
                 accepts several"
            ),
        );
    }
    if classes > 1 && output == Output::Gray {
        return refuse(
            "output",
            format!(
                "a gray picture holds one map, and 'target' names {classes} classes; json and npy \
                 hold them all"
            ),
        );
    }
    let values = pixels * classes as u64;
    if output == Output::Json && size == Size::Image && values > MAX_JSON_VALUES {
        return refuse(
            "size",
            format!(
                "size=image would be {values} values here, and JSON holds at most \
                 {MAX_JSON_VALUES}; output=npy holds them all"
            ),
        );
    }
    if output == Output::Npy && size == Size::Image && values > max_pixels {
        return refuse(
            "size",
            format!(
                "size=image would be {values} values here, more than the {max_pixels} of the \
                 largest image; request fewer classes or size=input"
            ),
        );
    }
    Ok(())
}
