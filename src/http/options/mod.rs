//! The options of a request: names and values in, one typed [`Question`] out.
//!
//! It does not matter where an option stood (query, form field, JSON member, command
//! line): it arrives here as a name and a text. The promise: an option that is unknown,
//! impossible, or given twice with different meanings is refused with its name and what
//! would be right, and nothing is ignored.

mod values;

use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::explain::methods::scorecam::estimate::MIN_PASSES;
use crate::explain::{
    Choice, Convention, METHODS, Method, MethodSpec, Normalization, Options, ScoreKind,
};
use crate::picture::colormap::Colormap;
use crate::picture::overlay::Blend;
pub use values::{Output, Rendering, Size};

/// What is asked: each endpoint takes some of the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// One map.
    Explain,
    /// Several methods' maps.
    Compare,
    /// No map.
    Predict,
}

/// One option, for whoever lists them: the command line's help, the test of `openapi.yaml`.
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// What a value looks like.
    pub value: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Who takes it.
    pub of: &'static [Endpoint],
}

use Endpoint::{Compare, Explain, Predict};

const ALL: &[Endpoint] = &[Explain, Compare, Predict];
const MAPS: &[Endpoint] = &[Explain, Compare];

/// Every option, in the order of the contract.
#[rustfmt::skip]
pub const OPTIONS: &[Described] = &[
    Described { name: "model", value: "ID", of: ALL, help: "The model to ask [default: the configured one]" },
    Described { name: "method", value: "METHOD", of: &[Explain], help: "gradcam, gradcam++ (or gradcampp), scorecam, layercam, hirescam, xgradcam, gradcam-elementwise, eigencam, eigengradcam, random, ablationcam, reciprocam, smoothgradcam++ or groupcam [default: gradcam++]" },
    Described { name: "methods", value: "METHODS", of: &[Compare], help: "Methods to compare, separated by commas [default: gradcam,gradcam++,scorecam]" },
    Described { name: "layer", value: "LAYERS", of: MAPS, help: "The layer to explain, by alias, node or tensor, or up to 10 with commas between them: the mean of their maps [default: the model's]" },
    Described { name: "target", value: "CLASSES", of: MAPS, help: "The class to explain, by index or exact label, or up to 10 with commas between them [default: the predicted one]" },
    Described { name: "contrast", value: "CLASS", of: MAPS, help: "Explain the class rather than this one: the difference of their scores" },
    Described { name: "negate", value: "BOOL", of: MAPS, help: "true: show what speaks against the class [default: false]" },
    Described { name: "signed", value: "BOOL", of: MAPS, help: "true: keep what speaks against the class, below 0: a map from -1 to 1 [default: false]" },
    Described { name: "score", value: "SCORE", of: MAPS, help: "logit or probability [default: the convention's]" },
    Described { name: "convention", value: "NAME", of: MAPS, help: "paper, article, pytorch-grad-cam, openvino-xai or torch-cam: whose formulas to follow [default: paper]" },
    Described { name: "max_channels", value: "N", of: MAPS, help: "Score-CAM: mask with only the N channels that vary most [default: all]" },
    Described { name: "budget", value: "N", of: MAPS, help: "Score-CAM: N masked passes at most, from 8; the other weights are estimated [default: all passes]" },
    Described { name: "tolerance", value: "0..1", of: MAPS, help: "Score-CAM: stop when the map's correlation with that of all passes is 1 - tolerance or better [default: all passes]" },
    Described { name: "seed", value: "N", of: MAPS, help: "Random, Smooth Grad-CAM++: what chance starts from, a whole number from 0 [default: 0]" },
    Described { name: "samples", value: "N", of: MAPS, help: "Smooth Grad-CAM++: how many noisy inputs, 1 to 200 [default: the convention's]" },
    Described { name: "noise", value: "0..1", of: MAPS, help: "Smooth Grad-CAM++: the noise's deviation, as a part of the input's range; torch-cam: as it is [default: the convention's]" },
    Described { name: "normalize", value: "HOW", of: MAPS, help: "max, minmax or none [default: the convention's]" },
    Described { name: "output", value: "FORM", of: MAPS, help: "overlay, heatmap, gray, json or npy; to compare: figure or json" },
    Described { name: "size", value: "SIZE", of: MAPS, help: "image, input or layer [default: image for pictures, layer for arrays]" },
    Described { name: "colormap", value: "NAME", of: MAPS, help: "jet, turbo, viridis, inferno, magma, plasma, cividis, gray, coolwarm or rdbu [default: jet; coolwarm of a signed map]" },
    Described { name: "blend", value: "HOW", of: MAPS, help: "add or mix: how colours and image come together [default: add; mix of a signed map]" },
    Described { name: "weight", value: "0..1", of: MAPS, help: "How strongly the colours show [default: 0.8 to add, 0.5 to mix, 0.8 of a signed map]" },
    Described { name: "emphasize", value: "BOOL", of: &[Explain], help: "true: only the strongest regions stay [default: false]" },
    Described { name: "top_k", value: "N", of: ALL, help: "How many predictions to list, 0 to 100 [default: 5]" },
];

/// How strongly a signed map shows where it is 1 or −1: more than others, because it is nothing
/// where it is 0.
const SIGNED_WEIGHT: f32 = 0.8;

/// A request's options, complete but for what the model decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The model; else the default one.
    pub model: Option<String>,
    /// The methods: one, but for a comparison.
    pub methods: Vec<Method>,
    /// What is to be explained, and how.
    pub explain: Options,
    /// How the answer looks.
    pub rendering: Rendering,
}

/// What has been given so far.
#[derive(Default)]
struct Given {
    model: Option<String>,
    method: Option<Method>,
    methods: Option<Vec<Method>>,
    layer: Option<String>,
    target: Option<String>,
    contrast: Option<String>,
    negate: Option<bool>,
    signed: Option<bool>,
    score: Option<ScoreKind>,
    convention: Option<Convention>,
    max_channels: Option<usize>,
    budget: Option<usize>,
    tolerance: Option<f32>,
    seed: Option<u64>,
    samples: Option<usize>,
    noise: Option<f32>,
    normalize: Option<Normalization>,
    output: Option<Output>,
    size: Option<Size>,
    colormap: Option<Colormap>,
    blend: Option<Blend>,
    weight: Option<f32>,
    emphasize: Option<bool>,
    top_k: Option<usize>,
}

impl Question {
    /// Reads options; `preferred` is the form of the answer when none of them names it.
    ///
    /// # Errors
    /// [`Kind::Option`] about the option that is wrong.
    pub fn parse<'a>(
        endpoint: Endpoint,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        preferred: Output,
    ) -> Result<Self> {
        let mut given = Given::default();
        for (name, value) in pairs {
            let Some(known) = OPTIONS.iter().find(|option| option.name == name) else {
                return Err(unknown(endpoint, name));
            };
            if !known.of.contains(&endpoint) {
                return Err(unknown(endpoint, name));
            }
            given.take(endpoint, known.name, value)?;
        }
        given.complete(endpoint, preferred)
    }
}

impl Given {
    fn take(&mut self, endpoint: Endpoint, name: &'static str, value: &str) -> Result<()> {
        match name {
            "model" => once(&mut self.model, name, text(name, value)?),
            "method" => once(&mut self.method, name, choice(name, value)?),
            "methods" => once(&mut self.methods, name, methods(value)?),
            "layer" => once(&mut self.layer, name, text(name, value)?),
            "target" => once(&mut self.target, name, text(name, value)?),
            "contrast" => once(&mut self.contrast, name, text(name, value)?),
            "negate" => once(&mut self.negate, name, boolean(name, value)?),
            "signed" => once(&mut self.signed, name, boolean(name, value)?),
            "score" => once(&mut self.score, name, choice(name, value)?),
            "convention" => once(&mut self.convention, name, choice(name, value)?),
            "max_channels" => {
                let count = number(name, value, |count| *count >= 1, "a whole number from 1")?;
                once(&mut self.max_channels, name, count)
            }
            "budget" => {
                let least = |count: &usize| *count >= MIN_PASSES;
                once(&mut self.budget, name, number(name, value, least, "a whole number from 8")?)
            }
            "tolerance" => {
                let is_part = |part: &f32| *part > 0.0 && *part < 1.0;
                once(
                    &mut self.tolerance,
                    name,
                    number(name, value, is_part, "a number between 0 and 1")?,
                )
            }
            "seed" => {
                let seed = number(name, value, |_| true, "a whole number from 0")?;
                once(&mut self.seed, name, seed)
            }
            "samples" => {
                let count = number(
                    name,
                    value,
                    |count| (1..=200).contains(count),
                    "a whole number from 1 to 200",
                )?;
                once(&mut self.samples, name, count)
            }
            "noise" => {
                let noise = number(
                    name,
                    value,
                    |noise| (0.0..=1.0).contains(noise),
                    "a number from 0 to 1",
                )?;
                once(&mut self.noise, name, noise)
            }
            "normalize" => once(&mut self.normalize, name, choice(name, value)?),
            "output" => once(&mut self.output, name, output(endpoint, value)?),
            "size" => once(&mut self.size, name, choice(name, value)?),
            "colormap" => once(&mut self.colormap, name, choice(name, value)?),
            "blend" => once(&mut self.blend, name, choice(name, value)?),
            "weight" => {
                let weight = number(
                    name,
                    value,
                    |weight| (0.0..=1.0).contains(weight),
                    "a number from 0 to 1",
                )?;
                once(&mut self.weight, name, weight)
            }
            "emphasize" => once(&mut self.emphasize, name, boolean(name, value)?),
            "top_k" => {
                let count =
                    number(name, value, |count| *count <= 100, "a whole number from 0 to 100")?;
                once(&mut self.top_k, name, count)
            }
            _ => Err(unknown(endpoint, name)),
        }
    }

    fn complete(self, endpoint: Endpoint, preferred: Output) -> Result<Question> {
        let usual = Options::default();
        let method = self.method.unwrap_or(usual.method);
        let output = self.output.unwrap_or(preferred);
        let is_array = matches!(output, Output::Json | Output::Npy);
        let signed = self.signed.unwrap_or(false);
        // Added to the image, the pale middle of a diverging table would wash it out.
        let (colormap, blend) =
            if signed { (Colormap::Coolwarm, Blend::Mix) } else { (Colormap::Jet, Blend::Add) };
        let blend = self.blend.unwrap_or(blend);
        let methods = match endpoint {
            Compare => self.methods.clone().unwrap_or_else(|| Method::ARTICLE.to_vec()),
            Explain => vec![method],
            Predict => Vec::new(),
        };
        let convention = self.convention.unwrap_or(usual.convention);
        self.fits(&methods, convention)?;
        Ok(Question {
            model: self.model,
            methods,
            explain: Options {
                method,
                convention,
                layer: self.layer,
                target: self.target,
                contrast: self.contrast,
                negate: self.negate.unwrap_or(false),
                signed,
                score: self.score,
                max_channels: self.max_channels,
                budget: self.budget,
                tolerance: self.tolerance,
                seed: self.seed.unwrap_or(usual.seed),
                samples: self.samples,
                noise: self.noise,
                normalize: self.normalize,
                top_k: self.top_k.unwrap_or(usual.top_k),
            },
            rendering: Rendering {
                output,
                size: self.size.unwrap_or(if is_array { Size::Layer } else { Size::Image }),
                colormap: self.colormap.unwrap_or(colormap),
                blend,
                weight: self.weight.unwrap_or(if signed {
                    SIGNED_WEIGHT
                } else {
                    blend.default_weight()
                }),
                emphasize: self.emphasize.unwrap_or(false),
            },
        })
    }

    /// Refuses what none of the methods would heed, and a source that knows one of them not.
    fn fits(&self, methods: &[Method], convention: Convention) -> Result<()> {
        if let Some(row) =
            methods.iter().map(|m| m.spec()).find(|row| !row.conventions.contains(&convention))
        {
            let names: Vec<_> = row.conventions.iter().map(|known| known.name()).collect();
            let detail = format!(
                "there is no {} by convention '{convention}'; option 'convention' takes {} for it",
                row.title,
                names.join(", ")
            );
            return Err(invalid("convention", detail));
        }
        let particular = [
            ("max_channels", self.max_channels.is_some()),
            ("budget", self.budget.is_some()),
            ("tolerance", self.tolerance.is_some()),
            ("seed", self.seed.is_some()),
            ("samples", self.samples.is_some()),
            ("noise", self.noise.is_some()),
        ];
        for (option, _) in particular.iter().filter(|(_, is_given)| *is_given) {
            let heeds = |row: &MethodSpec| row.parameters.contains(option);
            if !methods.iter().any(|method| heeds(method.spec())) {
                let names: Vec<_> =
                    METHODS.iter().filter(|row| heeds(row)).map(|row| row.name).collect();
                let detail =
                    format!("option '{option}' means nothing here; it is for {}", names.join(", "));
                return Err(invalid(option, detail));
            }
        }
        Ok(())
    }
}

fn invalid(option: &str, detail: String) -> Error {
    Error::new(Kind::Option, detail).about(option.to_owned())
}

fn unknown(endpoint: Endpoint, name: &str) -> Error {
    let takes = OPTIONS.iter().filter(|option| option.of.contains(&endpoint));
    let names: Vec<_> = takes.map(|option| option.name).collect();
    invalid(name, format!("there is no option '{name}' here; there are {}", names.join(", ")))
}

/// Keeps a value, unless another one is there already. Twice the same is no contradiction.
fn once<T: PartialEq>(place: &mut Option<T>, name: &str, value: T) -> Result<()> {
    if place.as_ref().is_some_and(|known| *known != value) {
        return Err(invalid(
            name,
            format!("option '{name}' is given twice, with different values; give one"),
        ));
    }
    *place = Some(value);
    Ok(())
}

fn choice<T: Choice>(option: &str, value: &str) -> Result<T> {
    T::from_name(value).ok_or_else(|| {
        let names: Vec<_> = T::CHOICES.iter().map(|(name, _)| *name).collect();
        let takes = names.join(", ");
        invalid(option, format!("option '{option}' can't be '{value}'; it takes {takes}"))
    })
}

fn output(endpoint: Endpoint, value: &str) -> Result<Output> {
    let forms = Output::of(endpoint);
    match Output::from_name(value) {
        Some(output) if forms.contains(&output) => Ok(output),
        _ => {
            let names: Vec<_> = forms.iter().map(|form| form.name()).collect();
            let detail =
                format!("option 'output' can't be '{value}' here; it takes {}", names.join(", "));
            Err(invalid("output", detail))
        }
    }
}

fn methods(value: &str) -> Result<Vec<Method>> {
    let mut methods: Vec<Method> = Vec::new();
    for name in value.split(',') {
        let method = Method::from_name(name).ok_or_else(|| {
            let known: Vec<_> = Method::CHOICES.iter().map(|(name, _)| *name).collect();
            let detail = format!(
                "option 'methods' can't name '{name}'; it takes {}, separated by commas",
                known.join(", ")
            );
            invalid("methods", detail)
        })?;
        if methods.contains(&method) {
            return Err(invalid("methods", format!("option 'methods' names {method} twice")));
        }
        methods.push(method);
    }
    Ok(methods)
}

fn text(name: &str, value: &str) -> Result<String> {
    if value.is_empty() {
        return Err(invalid(
            name,
            format!("option '{name}' is empty; leave it out for the default"),
        ));
    }
    Ok(value.to_owned())
}

fn number<T: FromStr>(
    name: &str,
    value: &str,
    is_right: impl Fn(&T) -> bool,
    takes: &str,
) -> Result<T> {
    value.parse().ok().filter(is_right).ok_or_else(|| {
        invalid(name, format!("option '{name}' can't be '{value}'; it takes {takes}"))
    })
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(invalid(
            name,
            format!("option '{name}' can't be '{value}'; it takes true or false"),
        )),
    }
}

#[cfg(test)]
mod tests;
