//! Validation of a request, all of it before any pass through a model.
//!
//! [`combinations`] checks options against each other, [`form`] the response against the image's
//! size, [`explanation`] names, methods and options against the model. One check has to wait: a
//! request without a target explains the predicted class, so [`distinct`] runs again right after
//! the forward pass.

pub mod combinations;
pub mod form;
mod layers;
pub mod method;

use super::class_list;
use crate::app::explain_options::ExplainOptions;
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::explain::Method;
use crate::graph::head::OutputActivation;
use crate::graph::layers::Layer;
use crate::graph::program_io::GradientOf;

/// A request for maps whose names are resolved and which the model can fulfil.
pub struct ExplainPlan<'a> {
    /// The model.
    pub model: &'a Model,
    /// The methods.
    pub methods: &'a [Method],
    /// The other options.
    pub options: &'a ExplainOptions,
    /// The layers; at least one.
    pub layers: Vec<&'a Layer>,
    /// The classes; empty for the predicted class.
    pub targets: Vec<usize>,
    /// The class that the targets are contrasted with.
    pub contrast: Option<usize>,
    /// The gradient that each method needs.
    pub gradients: Vec<GradientOf>,
}

/// Resolves the names in a request and checks that the model can fulfil it.
///
/// # Errors
/// [`Kind::Option`], [`Kind::UnknownClass`], [`Kind::UnknownLayer`] or [`Kind::Impossible`].
pub fn explanation<'a>(
    model: &'a Model,
    methods: &'a [Method],
    options: &'a ExplainOptions,
) -> Result<ExplainPlan<'a>> {
    let mut targets = targets(model, options)?;
    if targets.is_empty() && model.output_activation() == OutputActivation::Identity {
        // The largest of several quantities is no prediction.
        targets.push(0);
    }
    let layers = layers::resolve(model, options)?;
    let resolve = |name: &str| model.labels().resolve(name, model.classes());
    let contrast = options.contrast.as_deref().map(resolve).transpose();
    let contrast = contrast.map_err(|error| error.about("contrast"))?;
    let gradient = |&method: &Method| method::check(model, &layers, method.spec(), options);
    let gradients = methods.iter().map(gradient).collect::<Result<_>>()?;
    distinct(&targets, contrast)?;
    Ok(ExplainPlan { model, methods, options, layers, targets, contrast, gradients })
}

/// The classes that a request names; empty if it leaves the choice to the model.
///
/// # Errors
/// Those of [`class_list::targets`].
pub fn targets(model: &Model, options: &ExplainOptions) -> Result<Vec<usize>> {
    let resolve = |list: &String| class_list::targets(model.labels(), model.classes(), list);
    options.target.as_ref().map_or_else(|| Ok(Vec::new()), resolve)
}

/// Checks that no target is contrasted with itself.
///
/// # Errors
/// [`Kind::Impossible`].
pub fn distinct(targets: &[usize], contrast: Option<usize>) -> Result<()> {
    match targets.iter().find(|target| contrast == Some(**target)) {
        Some(target) => {
            let detail =
                format!("class {target} can't be contrasted with itself; name another class");
            Err(Error::new(Kind::Impossible, detail).about("contrast"))
        }
        None => Ok(()),
    }
}
