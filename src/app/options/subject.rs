//! What is explained: model, method, layer and class.

use super::spec::DefaultValue;
use super::spec::OptionSpec;
use super::syntax::ValueSyntax;
use super::syntax::names;
use crate::app::class_list::MAX_TARGETS;
use crate::app::operation::{ALL, MAPS, Operation};
use crate::explain::Method;
use crate::explain::multi_layer::MAX_LAYERS;

pub(super) const MODEL: OptionSpec = OptionSpec {
    name: "model",
    operations: ALL,
    syntax: ValueSyntax::Text,
    metavar: "ID",
    default: DefaultValue::Decided("the configured one"),
    summary: "The model to use",
    description: "The model to use. Default: the server's default model.",
    set: |spec, raw, values| spec.store(spec.text(raw)?, &mut values.model),
};

pub(super) const METHOD: OptionSpec = OptionSpec {
    name: "method",
    operations: &[Operation::Explain],
    syntax: ValueSyntax::Choice(names::<Method>),
    metavar: "METHOD",
    default: DefaultValue::Value("gradcam++"),
    summary: "The explanation method; gradcampp also means gradcam++",
    description: "The explanation method. In a URL a `+` is written `%2B`; `gradcampp` avoids \
        that.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.method),
};

pub(super) const METHODS: OptionSpec = OptionSpec {
    name: "methods",
    operations: &[Operation::Compare],
    syntax: ValueSyntax::ChoiceList(names::<Method>),
    metavar: "METHODS",
    default: DefaultValue::Value("gradcam,gradcam++,scorecam"),
    summary: "The methods to compare, separated by commas",
    description: "The methods to compare, in this order, separated by commas.",
    set: |spec, raw, values| spec.store(spec.methods(raw)?, &mut values.methods),
};

pub(super) const LAYER: OptionSpec = OptionSpec {
    name: "layer",
    operations: MAPS,
    syntax: ValueSyntax::List { max_items: |_| MAX_LAYERS },
    metavar: "LAYERS",
    default: DefaultValue::Decided("the model's"),
    summary: "The layer to explain, by alias, node or tensor name; several give the mean of their \
        maps",
    description: "The layer whose activation is explained: an alias, a node name or a tensor \
        name. Default: the model's default layer. Up to ten, separated by commas, give one map: \
        each layer's map is normalised as the convention says and upsampled to the model's input \
        size, and their mean is normalised again, as in pytorch-grad-cam. All layers share one \
        forward pass; each has its own masked and tail passes, and before tail passes its own \
        forward pass. A repeated layer is refused.",
    set: |spec, raw, values| spec.store(spec.text(raw)?, &mut values.layer),
};

pub(super) const TARGET: OptionSpec = OptionSpec {
    name: "target",
    operations: MAPS,
    syntax: ValueSyntax::List {
        max_items: |operation| if operation == Operation::Compare { 1 } else { MAX_TARGETS },
    },
    metavar: "CLASSES",
    default: DefaultValue::Decided("the predicted class"),
    summary: "The class to explain, by index or exact label",
    description: "The class to explain, by index or exact label. Default: the predicted class. \
        `POST /v1/explain` accepts up to ten, separated by commas, and returns one map per class \
        in this order; a repeated class is refused. `POST /v1/compare` accepts one. A label may \
        contain commas: the longest matching label wins. A label that is a number names its class \
        only if no class has that index. A label that several classes share is refused.",
    set: |spec, raw, values| spec.store(spec.text(raw)?, &mut values.target),
};

pub(super) const CONTRAST: OptionSpec = OptionSpec {
    name: "contrast",
    operations: MAPS,
    syntax: ValueSyntax::Text,
    metavar: "CLASS",
    default: DefaultValue::None,
    summary: "Explain the target rather than this class: the difference of their scores",
    description: "Explain the target rather than this class: the difference of their scores, for \
        gradients and passes alike. Refused for a method that is not class-discriminative, and \
        for the target itself.",
    set: |spec, raw, values| spec.store(spec.text(raw)?, &mut values.contrast),
};

pub(super) const NEGATE: OptionSpec = OptionSpec {
    name: "negate",
    operations: MAPS,
    syntax: ValueSyntax::Boolean,
    metavar: "BOOL",
    default: DefaultValue::Value("false"),
    summary: "Explain the negated score: show the evidence against the class",
    description: "Explain the negated score: the map shows the evidence against the target. Refused \
        where passes are weighted by probabilities, which are never negative.",
    set: |spec, raw, values| spec.store(spec.boolean(raw)?, &mut values.negate),
};

pub(super) const SIGNED: OptionSpec = OptionSpec {
    name: "signed",
    operations: MAPS,
    syntax: ValueSyntax::Boolean,
    metavar: "BOOL",
    default: DefaultValue::Value("false"),
    summary: "Keep the evidence against the class as negative values: a map from -1 to 1",
    description: "Keep negative values: the map is divided by its largest absolute value, so that \
        it runs from −1 (evidence against the target) over 0 (neither) to 1 (evidence for it). \
        Accepted for `gradcam`, `hirescam`, `xgradcam` and `ablationcam`, and for `scorecam` \
        where its weights can be negative: conventions `paper` and `article` with `contrast`, \
        `paper` with `score=logit`. Otherwise refused, as with `normalize=minmax`. In a picture, \
        0 has the colormap's middle colour; an overlay leaves the image unchanged there.",
    set: |spec, raw, values| spec.store(spec.boolean(raw)?, &mut values.signed),
};
