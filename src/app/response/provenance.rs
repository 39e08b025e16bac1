//! What a picture's metadata says about it: enough to tell later how it was made.
//!
//! The names are those of the response's headers, where there is one.

use crate::app::explain_options::ExplainOptions;
use crate::explain::{Choice, Explanation, Prediction};
use crate::picture::encode::Metadata;
use crate::text::shortened;

/// The metadata of a picture of these maps.
#[must_use]
pub fn metadata(explanations: &[Explanation], options: &ExplainOptions) -> Metadata {
    let Some(first) = explanations.first() else { return Metadata::default() };
    let version = env!("CARGO_PKG_VERSION");
    let (methods, classes) = shared(explanations);
    let join = |values: Vec<String>| (!values.is_empty()).then(|| values.join(","));
    let of_method = |value: &dyn Fn(&Explanation) -> &'static str| {
        join(methods.iter().map(|one| value(one).to_owned()).collect())
    };
    let of_target = |value: &dyn Fn(&Prediction) -> Option<String>| {
        join(classes.iter().filter_map(|one| value(&one.target)).collect())
    };
    let seed = explanations.iter().any(|one| one.method.spec().parameters.contains(&"seed"));
    let entries = [
        ("Software", Some(format!("camlens {version}"))),
        ("Title", Some(title(explanations))),
        ("camlens-version", Some(version.to_owned())),
        ("camlens-model", Some(first.model.clone())),
        ("camlens-method", of_method(&|one| one.method.name())),
        ("camlens-layer", Some(first.layer.clone())),
        ("camlens-target", of_target(&|target| Some(target.index.to_string()))),
        ("camlens-label", of_target(&|target| target.label.clone())),
        ("camlens-probability", of_target(&|target| target.probability.map(|p| p.to_string()))),
        ("camlens-value", of_target(&|target| target.value.map(|value| value.to_string()))),
        ("camlens-contrast", first.contrast.as_ref().map(|class| class.index.to_string())),
        ("camlens-convention", Some(first.convention.name().to_owned())),
        ("camlens-score", options.score.map(|score| score.name().to_owned())),
        ("camlens-normalize", of_method(&|one| one.normalizer.normalization.name())),
        ("camlens-signed", first.signed.then(|| "true".to_owned())),
        ("camlens-negate", first.negate.then(|| "true".to_owned())),
        ("camlens-max-channels", options.max_channels.map(|count| count.to_string())),
        ("camlens-budget", options.budget.map(|count| count.to_string())),
        ("camlens-tolerance", options.tolerance.map(|tolerance| tolerance.to_string())),
        ("camlens-samples", options.samples.map(|count| count.to_string())),
        ("camlens-noise", options.noise.map(|noise| noise.to_string())),
        ("camlens-seed", seed.then(|| options.seed.to_string())),
    ];
    let known = |(name, value): (&'static str, Option<String>)| {
        // A file of labels can hold anything, of any length.
        value.map(|value| (name, shortened(&value).into_owned()))
    };
    Metadata { entries: entries.into_iter().filter_map(known).collect(), dpi: None }
}

/// The maps whose methods differ, and those whose classes do: maps of several methods share their
/// class, those of several classes their method.
fn shared(explanations: &[Explanation]) -> (&[Explanation], &[Explanation]) {
    let first = &explanations[..explanations.len().min(1)];
    match explanations.iter().all(|one| one.method == explanations[0].method) {
        true => (first, explanations),
        false => (explanations, first),
    }
}

/// One line about the picture.
fn title(explanations: &[Explanation]) -> String {
    let (methods, classes) = shared(explanations);
    let methods: Vec<_> = methods.iter().map(|one| one.method.title()).collect();
    let class = |one: &Explanation| {
        let target = &one.target;
        target.label.clone().unwrap_or_else(|| format!("class {}", target.index))
    };
    let classes: Vec<_> = classes.iter().map(class).collect();
    format!("{}: {}", classes.join(", "), methods.join(", "))
}
