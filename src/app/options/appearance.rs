//! What the response looks like: form, size, colours, and the list of predictions.

use super::output::{Output, Size};
use super::spec::DefaultValue;
use super::spec::OptionSpec;
use super::syntax::ValueSyntax;
use super::syntax::names;
use super::values::OptionValues;
use crate::app::operation::{ALL, MAPS, Operation};
use crate::explain::Convention;
use crate::picture::colormap::Colormap;
use crate::picture::encode::Format;
use crate::picture::overlay::Blend;

pub(super) const OUTPUT: OptionSpec = OptionSpec {
    name: "output",
    operations: MAPS,
    syntax: ValueSyntax::Choice(Output::names),
    metavar: "FORM",
    default: DefaultValue::Decided("what the request accepts, or the file name says"),
    summary: "The form of the result",
    description: "The form of the response. `overlay`, `heatmap` and `gray` are pictures, \
        `npy` is a float32 array; a comparison is a `figure`. Without it, the `Accept` \
        header decides.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.output),
};

pub(super) const FORMAT: OptionSpec = OptionSpec {
    name: "format",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Format>),
    metavar: "FORMAT",
    default: DefaultValue::Decided("what the request accepts, or the file name says, else png"),
    summary: "The file format of a picture",
    description: "The file format of a picture: PNG, JPEG, lossless WebP, and SVG for figures. \
        Without it, the `Accept` header decides; `png` if that names none.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.format),
};

pub(super) const DPI: OptionSpec = OptionSpec {
    name: "dpi",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: 30, max: Some(600) },
    metavar: "DPI",
    // None is given to a request that names none, so that it is known whether one was named.
    default: DefaultValue::Decided("150"),
    summary: "The resolution of a figure",
    description: "The resolution of a figure in dots per inch; of an SVG, that of its panels. \
        A panel is two inches wide or high. Default: 150.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.dpi),
};

pub(super) const COLUMNS: OptionSpec = OptionSpec {
    name: "columns",
    operations: MAPS,
    syntax: ValueSyntax::Integer { min: 1, max: Some(30) },
    metavar: "N",
    default: DefaultValue::Decided("one row of up to five panels, else 3 to 5, which fill best"),
    summary: "The number of columns of a figure",
    description: "The number of columns of a figure, after which its panels wrap. Default: one \
        row for up to five panels, otherwise the number from 3 to 5 that leaves the fewest cells \
        empty.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.columns),
};

pub(super) const SIZE: OptionSpec = OptionSpec {
    name: "size",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Size>),
    metavar: "SIZE",
    default: DefaultValue::Computed {
        value: |values| match values.output {
            Some(Output::Json | Output::Npy) => "layer",
            _ => "image",
        },
        text: "image for pictures, layer for arrays and JSON",
    },
    summary: "The size of the map",
    description: "The size of the map: the image's, the model input's or the layer's (for several \
        layers, the model input's). Default: `image` for pictures, `layer` for arrays and JSON. \
        The convention `pytorch-grad-cam` normalises a resized map once more, as its source does \
        at the input's size.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.size),
};

pub(super) const COLORMAP: OptionSpec = OptionSpec {
    name: "colormap",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Colormap>),
    metavar: "NAME",
    default: DefaultValue::Computed {
        value: |values| if values.is_signed() { "coolwarm" } else { "jet" },
        text: "jet; coolwarm for a signed map",
    },
    summary: "The colours of a picture",
    description: "The colours of a picture. `jet` is OpenCV's table, `gray` has no colour; \
        `coolwarm` and `rdbu` (matplotlib's `RdBu_r`) diverge from blue below the middle to red \
        above it. Default: `jet`; with `signed`, `coolwarm`.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.colormap),
};

/// Whether the overlay of a request is the article's by default.
fn adds(values: &OptionValues) -> bool {
    values.convention == Some(Convention::Article) && !values.is_signed()
}

pub(super) const BLEND: OptionSpec = OptionSpec {
    name: "blend",
    operations: MAPS,
    syntax: ValueSyntax::Choice(names::<Blend>),
    metavar: "HOW",
    default: DefaultValue::Computed {
        // Added to the image, the pale middle of a diverging colormap would wash it out.
        value: |values| if adds(values) { "add" } else { "mix" },
        text: "mix; add with convention=article",
    },
    summary: "How an overlay combines colours and image",
    description: "How an overlay combines image and colours: `add` is min(image + weight · heat, \
        255), `mix` is (1 − weight) · image + weight · heat. Default: `mix`; with \
        `convention=article`, `add`. With `signed` it is always `mix` by default, and the weight \
        is multiplied by the map's absolute value.",
    set: |spec, raw, values| spec.store(spec.choice(raw)?, &mut values.blend),
};

pub(super) const WEIGHT: OptionSpec = OptionSpec {
    name: "weight",
    operations: MAPS,
    syntax: ValueSyntax::Number { min: 0.0, max: 1.0, is_exclusive: false },
    metavar: "0..1",
    default: DefaultValue::Computed {
        // A signed map fades out around 0, so it needs more weight than a mixed one.
        value: |values| match values.blend {
            Some(Blend::Mix) if !values.is_signed() => "0.5",
            _ => "0.8",
        },
        text: "0.8 for add, 0.5 for mix, 0.8 for a signed map",
    },
    summary: "The opacity of the colours",
    description: "The opacity of the map over the image. Default: 0.8 for `add`, 0.5 for `mix`, \
        0.8 with `signed`.",
    set: |spec, raw, values| spec.store(spec.number(raw)?, &mut values.weight),
};

pub(super) const EMPHASIZE: OptionSpec = OptionSpec {
    name: "emphasize",
    operations: &[Operation::Explain],
    syntax: ValueSyntax::Boolean,
    metavar: "BOOL",
    default: DefaultValue::Value("false"),
    summary: "Raise the contrast, so that only the strongest regions remain",
    description: "Raise the contrast with a steep sigmoid around one half, so that only the \
        strongest regions remain. The map is enlarged by cubic interpolation for this, so that \
        the regions have smooth edges; with `convention=article` by bilinear, as the article \
        does.",
    set: |spec, raw, values| spec.store(spec.boolean(raw)?, &mut values.emphasize),
};

pub(super) const TOP_K: OptionSpec = OptionSpec {
    name: "top_k",
    operations: ALL,
    syntax: ValueSyntax::Integer { min: 0, max: Some(100) },
    metavar: "N",
    default: DefaultValue::Value("5"),
    summary: "The number of predictions to list",
    description: "The number of predictions to list.",
    set: |spec, raw, values| spec.store(spec.integer(raw)?, &mut values.top_k),
};
