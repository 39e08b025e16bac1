//! The table of options.

use super::spec::OptionSpec;
use super::{appearance, parameters, subject};
use crate::app::operation::Operation;
use crate::error::{Error, Kind, Result};
use crate::spelling::nearest;
use crate::text::shortened;

/// Every option, in the order of `openapi.yaml`.
pub const OPTIONS: &[&OptionSpec] = &[
    &subject::MODEL,
    &subject::METHOD,
    &subject::METHODS,
    &subject::LAYER,
    &subject::TARGET,
    &subject::CONTRAST,
    &subject::NEGATE,
    &subject::SIGNED,
    &parameters::SCORE,
    &parameters::CONVENTION,
    &parameters::MAX_CHANNELS,
    &parameters::BUDGET,
    &parameters::TOLERANCE,
    &parameters::SEED,
    &parameters::SAMPLES,
    &parameters::NOISE,
    &parameters::NORMALIZE,
    &appearance::OUTPUT,
    &appearance::FORMAT,
    &appearance::DPI,
    &appearance::COLUMNS,
    &appearance::SIZE,
    &appearance::COLORMAP,
    &appearance::BLEND,
    &appearance::WEIGHT,
    &appearance::EMPHASIZE,
    &appearance::TOP_K,
];

/// The options that an operation accepts.
pub fn accepted(operation: Operation) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().copied().filter(move |spec| spec.operations.contains(&operation))
}

/// The option of this name.
///
/// # Errors
/// [`Kind::Option`] with the nearest name, and the options that the operation accepts.
pub fn find(operation: Operation, name: &str) -> Result<&'static OptionSpec> {
    let found = accepted(operation).find(|spec| spec.name == name);
    found.ok_or_else(|| unknown(operation, name, None))
}

/// The error for a name that is none of an operation's options: it gives the nearest one, and all.
/// In a body the image has a name, too: `image` is what the body calls its parts, and that name.
#[must_use]
pub fn unknown(operation: Operation, name: &str, image: Option<(&str, &str)>) -> Error {
    let options: Vec<_> = accepted(operation).map(|spec| spec.name).collect();
    let near = nearest(name, options.iter().copied().chain(image.map(|(_, image)| image)));
    let hint = near.map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
    let image = image.map(|(kind, image)| format!("the image is the {kind} '{image}', and "));
    let image = image.unwrap_or_default();
    let (quoted, options) = (shortened(name), options.join(", "));
    let detail = format!("there is no option '{quoted}' here{hint}; {image}options are {options}");
    Error::new(Kind::Option, detail).about(name)
}

/// Whether a value of this option may be a list.
#[must_use]
pub fn is_list(name: &str) -> bool {
    OPTIONS.iter().any(|spec| spec.name == name && spec.syntax.is_list())
}

/// Whether a value of this option may end in a plus sign.
#[must_use]
pub fn has_plus_signs(name: &str) -> bool {
    OPTIONS.iter().any(|spec| spec.name == name && spec.has_plus_signs())
}
