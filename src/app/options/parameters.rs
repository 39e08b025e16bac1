//! How the map is computed: score, convention and the parameters of individual methods.

use super::spec::DefaultValue;
use super::spec::OptionSpec;
use super::syntax::ValueSyntax;
use super::syntax::names;
use crate::app::operation::MAPS;
use crate::explain::Convention;
use crate::explain::Normalization;
use crate::explain::ScoreKind;
use crate::explain::methods::scorecam::estimate::MIN_PASSES;

pub(super) const SCORE: OptionSpec = OptionSpec {
    name: "score",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<ScoreKind>),
    metavar: "SCORE",
    default: DefaultValue::Decided("the convention's"),
    summary: "The score to explain",
    description: "The score to explain: the class's logit or its probability. Default: the \
        convention's, or the probability where the model shows no logits. The two give different \
        maps: a probability contrasts the class with all others.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.score),
};

pub(super) const CONVENTION: OptionSpec = OptionSpec {
    name: "convention",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Convention>),
    metavar: "NAME",
    default: DefaultValue::Value("paper"),
    summary: "Whose formulas to follow where implementations differ",
    description: "Whose formulas to follow where implementations differ: the papers', the Keras \
        article's, pytorch-grad-cam's, openvino-xai's (Recipro-CAM) or torch-cam's (Smooth \
        Grad-CAM++). A convention that does not define the method is refused.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.convention),
};

pub(super) const MAX_CHANNELS: OptionSpec = OptionSpec {
    name: "max_channels",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: 1, max: None },
    metavar: "N",
    default: DefaultValue::Decided("all"),
    summary: "Score-CAM: use only the N channels with the largest standard deviation",
    description: "Score-CAM only: the largest number of channels to mask with; those with the \
        largest standard deviation are used. Default: all.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.max_channels),
};

pub(super) const BUDGET: OptionSpec = OptionSpec {
    name: "budget",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: MIN_PASSES as u64, max: None },
    metavar: "N",
    default: DefaultValue::Decided("all passes"),
    summary: "Score-CAM: run at most N masked passes and estimate the other weights",
    description: "Score-CAM only: the largest number of masked passes. The most informative ones \
        are run and the other weights are estimated from them; the response then says how well \
        its map agrees with the map of all passes. Conventions `paper` and `article`; refused \
        with `pytorch-grad-cam`.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.budget),
};

pub(super) const TOLERANCE: OptionSpec = OptionSpec {
    name: "tolerance",
    operations: MAPS,
    syntax: ValueSyntax::Number { min: 0.0, max: 1.0, is_exclusive: true },
    metavar: "0..1",
    default: DefaultValue::Decided("all passes"),
    summary: "Score-CAM: stop once the estimated correlation with the map of all passes is at \
        least 1 - tolerance",
    description: "Score-CAM only: stop once the map's correlation with the map of all passes is \
        estimated to be at least 1 − `tolerance` with nine-in-ten confidence. Conventions \
        `paper` and `article`; refused with `pytorch-grad-cam`. Together with `budget`, \
        whichever ends first.",
    set: |spec, raw, values| spec.store(spec.number(raw)?, &mut values.tolerance),
};

pub(super) const SEED: OptionSpec = OptionSpec {
    name: "seed",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: 0, max: None },
    metavar: "N",
    default: DefaultValue::Value("0"),
    summary: "Random, Smooth Grad-CAM++: the seed of the random numbers",
    description: "`random` and `smoothgradcam++` only: the seed of the random numbers. The same \
        seed gives the same map.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.seed),
};

pub(super) const SAMPLES: OptionSpec = OptionSpec {
    name: "samples",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: 1, max: Some(200) },
    metavar: "N",
    default: DefaultValue::Decided("the convention's"),
    summary: "Smooth Grad-CAM++: the number of noisy inputs",
    description: "Smooth Grad-CAM++ only: the number of noisy inputs whose gradients are \
        averaged. Default: 20 with convention `paper`, 4 with `torch-cam`.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.samples),
};

pub(super) const NOISE: OptionSpec = OptionSpec {
    name: "noise",
    operations: MAPS,
    syntax: ValueSyntax::Number { min: 0.0, max: 1.0, is_exclusive: false },
    metavar: "0..1",
    default: DefaultValue::Decided("the convention's"),
    summary: "Smooth Grad-CAM++: the standard deviation of the noise, as a fraction of the \
        input's range; absolute with torch-cam",
    description: "Smooth Grad-CAM++ only: the standard deviation of the noise. With convention \
        `paper` it is a fraction of the range of the model's input, default 0.15; with \
        `torch-cam` it is in the unit of the model's input, default 0.3.",
    set: |spec, raw, values| spec.store(spec.number(raw)?, &mut values.noise),
};

pub(super) const NORMALIZE: OptionSpec = OptionSpec {
    name: "normalize",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Normalization>),
    metavar: "HOW",
    default: DefaultValue::Decided("the convention's"),
    summary: "How the map is normalised",
    description: "How the map is normalised to 0..1: divided by its maximum (with `signed`, by \
        its largest absolute value), stretched between minimum and maximum, or not at all. \
        Default: the convention's; with `signed`, `max`.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.normalize),
};
