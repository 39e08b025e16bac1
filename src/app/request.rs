//! Typed requests: names and texts in, one [`RequestOptions`] out.
//!
//! It does not matter where an option was given (query, form field, JSON member, flag): here it is
//! a name and a text. An option that is unknown, invalid, without effect, or given twice with
//! different values is an error that names it and says what is accepted. Nothing is ignored.

use crate::app::explain_options::ExplainOptions;
use bytes::Bytes;

use super::operation::Operation;
use super::options::{OptionValues, Preference, RawValue, Rendering, Size, accepted, find};
use super::validate::combinations;
use crate::error::Result;
use crate::explain::Method;

/// A request about one image: the operation, the image file and the options.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The operation.
    pub operation: Operation,
    /// The image file.
    pub image: Bytes,
    /// The options.
    pub options: RequestOptions,
}

/// A request's options, complete except for what the model or the convention decides.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestOptions {
    /// The model; default: the configured one.
    pub model: Option<String>,
    /// The methods: several for a comparison, none for a prediction.
    pub methods: Vec<Method>,
    /// What to explain, and how.
    pub explain: ExplainOptions,
    /// The form and appearance of the response.
    pub rendering: Rendering,
}

impl RequestOptions {
    /// Parses pairs of name and value. `preferred` is the form and the file format of the response
    /// if no option names them.
    ///
    /// # Errors
    /// [`Kind::Option`](crate::error::Kind::Option) naming the option that is wrong, and the
    /// errors of [`combinations::check`] and [`combinations::form`].
    pub fn parse<'a>(
        operation: Operation,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        preferred: impl Into<Preference>,
    ) -> Result<Self> {
        let preferred = preferred.into();
        let mut values = OptionValues::default();
        let mut given = Vec::new();
        for (name, text) in pairs {
            let spec = find(operation, name)?;
            spec.parse(RawValue { text, operation }, &mut values)?;
            given.push(spec.name);
        }
        values.output.get_or_insert(preferred.output);
        for spec in accepted(operation).filter(|spec| !given.contains(&spec.name)) {
            if let Some(text) = spec.default.value(&values) {
                spec.parse(RawValue { text, operation }, &mut values)?;
            }
        }
        let options = Self::from_values(operation, values, preferred);
        combinations::check(&given, &options.methods, &options.explain)?;
        combinations::form(&given, options.rendering.output)?;
        Ok(options)
    }

    /// Slots without a value belong to options that the operation does not accept, or that the
    /// model or the convention decides.
    fn from_values(operation: Operation, values: OptionValues, preferred: Preference) -> Self {
        let defaults = ExplainOptions::default();
        let method = values.method.unwrap_or(defaults.method);
        let blend = values.blend.unwrap_or_default();
        Self {
            methods: match operation {
                Operation::Explain => vec![method],
                Operation::Compare => values.methods.unwrap_or_default(),
                Operation::Predict => Vec::new(),
            },
            model: values.model,
            explain: ExplainOptions {
                method,
                convention: values.convention.unwrap_or(defaults.convention),
                layer: values.layer,
                target: values.target,
                contrast: values.contrast,
                negate: values.negate.unwrap_or(defaults.negate),
                signed: values.signed.unwrap_or(defaults.signed),
                score: values.score,
                max_channels: values.max_channels,
                budget: values.budget,
                tolerance: values.tolerance,
                seed: values.seed.unwrap_or(defaults.seed),
                samples: values.samples,
                noise: values.noise,
                normalize: values.normalize,
                top_k: values.top_k.unwrap_or(defaults.top_k),
            },
            rendering: Rendering {
                output: values.output.unwrap_or(preferred.output),
                format: values.format.unwrap_or(preferred.format),
                dpi: values.dpi,
                columns: values.columns,
                size: values.size.unwrap_or(Size::Image),
                colormap: values.colormap.unwrap_or_default(),
                blend,
                weight: values.weight.unwrap_or(blend.default_weight()),
                emphasize: values.emphasize.unwrap_or(false),
            },
        }
    }
}

#[cfg(test)]
mod tests;
