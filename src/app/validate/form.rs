//! Checks that the response can have the form and size that a request asks for.

use crate::app::operation::Operation;
use crate::app::options::{Output, Rendering, Size};
use crate::app::render::figure::{FigureKind, most_px};
use crate::app::request::RequestOptions;
use crate::error::{Error, Kind, Result};
use crate::explain::{Choice, Normalization};
use crate::picture::encode::Format;

/// The largest number of map values in a JSON response, some 20 MB of text. The map of a whole
/// photograph would be hundreds of megabytes.
const MAX_JSON_VALUES: u64 = 2_000_000;

/// Checks the form of the response.
///
/// `classes` is the number of classes, `image` the image's width and height, and `max_pixels` the
/// number of pixels of the largest image that is accepted.
///
/// # Errors
/// [`Kind::Option`] about `target`, `normalize`, `output`, `size`, `format`, `dpi` or `columns`.
pub fn check(
    operation: Operation,
    options: &RequestOptions,
    classes: usize,
    image: (u32, u32),
    max_pixels: u64,
) -> Result<()> {
    let rendering = &options.rendering;
    let pixels = u64::from(image.0) * u64::from(image.1);
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
    let is_picture = !matches!(output, Output::Json | Output::Npy);
    if is_picture && options.explain.normalize == Some(Normalization::None) {
        return refuse(
            "normalize",
            "option 'normalize' can't be 'none' for a picture, whose colours stand for values from \
             0 to 1; output=json has the values"
                .to_owned(),
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
    picture(operation, options, classes, image)
}

/// Checks that a picture can have its format, and that a figure's options are for a figure.
fn picture(
    operation: Operation,
    options: &RequestOptions,
    classes: usize,
    image: (u32, u32),
) -> Result<()> {
    let rendering = &options.rendering;
    if !rendering.output.is_picture() {
        return Ok(());
    }
    let refuse = |option: &str, detail: String| Err(Error::new(Kind::Option, detail).about(option));
    let format = rendering.format;
    let is_figure = operation == Operation::Compare || classes > 1;
    if !is_figure {
        let given = [("dpi", rendering.dpi.is_some()), ("columns", rendering.columns.is_some())];
        if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
            let detail = format!(
                "option '{option}' has no effect here; it is for figures, of several methods or of \
                 several classes"
            );
            return refuse(option, detail);
        }
        if format == Format::Svg {
            let detail = "option 'format' can't be 'svg' here; a single map is a picture of \
                          pixels, and svg is for figures, of several methods or of several \
                          classes";
            return refuse("format", detail.to_owned());
        }
    }
    let (width, height) = match (is_figure, rendering.size) {
        (true, _) => {
            let (kind, maps) = match operation {
                Operation::Compare => {
                    (FigureKind::of_methods(&options.explain), options.methods.len())
                }
                _ => (FigureKind::Classes, classes),
            };
            most_px(kind, maps, rendering)
        }
        (false, Size::Image) => image,
        (false, Size::Input | Size::Layer) => (0, 0),
    };
    let most = format.max_side_px();
    if width.max(height) > most {
        let (option, remedy) = match is_figure {
            true => ("dpi", "; png, or a lower dpi or more columns, would do"),
            false => ("format", "; png would do"),
        };
        let format = format.name();
        let detail = format!(
            "the picture can be {width} × {height} pixels here, and a {format} file has at most \
             {most} a side{remedy}"
        );
        return refuse(option, detail);
    }
    Ok(())
}
