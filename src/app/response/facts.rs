//! Facts about a response, for headers and log lines that do not parse its body.

use crate::explain::Choice;
use crate::explain::{Explanation, Passes};
use crate::warning::Warning;

/// The name of a gradient that is an estimate, because the model rounds to integers.
pub const STRAIGHT_THROUGH: &str = "straight-through";

/// What a response shows, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The model's id.
    pub model: String,
    /// The passes that were run.
    pub passes: Passes,
    /// The maps; absent for a prediction.
    pub maps: Option<MapFacts>,
    /// What a reader of the response must know to judge it.
    pub warnings: Vec<Warning>,
}

/// What all maps of a response have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFacts {
    /// The layer's friendly name; for several layers, all names separated by commas.
    pub layer: String,
    /// The classes in the order of the request.
    pub targets: Vec<TargetFacts>,
    /// The class that the targets are contrasted with.
    pub contrast: Option<usize>,
    /// Whether negative values are evidence against the class.
    pub signed: bool,
    /// Whether the negated score is explained.
    pub negate: bool,
    /// The methods in the order of the request.
    pub methods: Vec<MethodFacts>,
    /// One for each map: the maps of several classes by one method, or of one class by several.
    pub each: Vec<EachMap>,
}

/// One explained class.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFacts {
    /// The class index.
    pub index: usize,
    /// Its label, if the model has labels.
    pub label: Option<String>,
    /// The class's probability, 0..1; absent for a quantity.
    pub probability: Option<f32>,
    /// The value of a quantity; absent for a class.
    pub value: Option<f32>,
}

/// One map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EachMap {
    /// Whether nothing in the layer supports the class.
    pub is_empty: bool,
    /// The estimated correlation with the map of all passes; absent if all passes ran.
    pub correlation: Option<f64>,
}

/// One method of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodFacts {
    /// The method's canonical name.
    pub name: &'static str,
    /// Whether the gradient is a straight-through estimate.
    pub is_estimated: bool,
}

impl Facts {
    /// The facts about maps of several classes by one method, or of one class by several methods.
    #[must_use]
    pub fn from_explanations(explanations: &[Explanation]) -> Self {
        let Some(first) = explanations.first() else {
            let (model, passes, warnings) = (String::new(), Passes::default(), Vec::new());
            return Self { model, passes, maps: None, warnings };
        };
        let is_one_method = explanations.iter().all(|one| one.method == first.method);
        // Maps of several classes share their passes, maps of several methods their class.
        let classes = if is_one_method { explanations } else { &explanations[..1] };
        let passes = if is_one_method { first.passes } else { total_passes(explanations) };
        let target = |one: &Explanation| TargetFacts {
            index: one.target.index,
            label: one.target.label.clone(),
            probability: one.target.probability,
            value: one.target.value,
        };
        let each = |one: &Explanation| EachMap {
            is_empty: one.empty,
            correlation: one.confidence.map(|confidence| confidence.correlation),
        };
        let methods = if is_one_method { &explanations[..1] } else { explanations };
        let method = |one: &Explanation| MethodFacts {
            name: one.method.name(),
            is_estimated: one.estimated,
        };
        let maps = MapFacts {
            layer: first.layer.clone(),
            targets: classes.iter().map(target).collect(),
            contrast: first.contrast.as_ref().map(|contrast| contrast.index),
            signed: first.signed,
            negate: first.negate,
            methods: methods.iter().map(method).collect(),
            each: explanations.iter().map(each).collect(),
        };
        let warnings = all_warnings(explanations);
        Self { model: first.model.clone(), passes, maps: Some(maps), warnings }
    }
}

/// The warnings of several maps, each once.
#[must_use]
pub fn all_warnings(explanations: &[Explanation]) -> Vec<Warning> {
    Warning::each_once(explanations.iter().flat_map(|one| &one.warnings))
}

/// The passes of several methods, which share those of the image itself.
fn total_passes(methods: &[Explanation]) -> Passes {
    let sum = |count: fn(&Passes) -> usize| methods.iter().map(|one| count(&one.passes)).sum();
    Passes {
        forward: methods.iter().map(|one| one.passes.forward).max().unwrap_or(0),
        masked: sum(|passes| passes.masked),
        tail: sum(|passes| passes.tail),
        skipped: sum(|passes| passes.skipped),
    }
}
