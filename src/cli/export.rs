//! `camlens export MODEL`: a plain ONNX file that computes a map beside the model's outputs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Source, model, output};
use crate::app::options::Output;
use crate::app::{Operation, RequestOptions, validate};
use crate::error::{Error, Kind, Result};
use crate::explain::{Method, ScoreKind};
use crate::export::{ExportRequest, Weights, export, write};
use crate::graph::export_graph::ExportTarget;

/// The words for a target that is no class.
const WORDS: [&str; 2] = ["predicted", "input"];

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
                        camlens export efficientnet-lite0 -o cam.onnx\n  \
                        camlens export model.onnx --method gradcam,layercam --target input -o cam.onnx\n\n\
                        The file has the model's inputs and outputs, and an output `heatmap`, float32 [N, h, w]\n\
                        (`heatmap_gradcam`, … for several methods). It needs no camlens to run.")]
pub(super) struct Export {
    /// An .onnx file, a model's folder, or the id of a model in the models folder
    model: String,
    /// The ONNX file to write
    #[arg(short, long = "out", value_name = "FILE")]
    out: PathBuf,
    /// Methods, separated by commas
    #[arg(long, default_value = "gradcam++")]
    method: String,
    /// The layer to explain, by alias, node or tensor name [default: the model's]
    #[arg(long)]
    layer: Option<String>,
    /// The class to explain: `predicted`, `input` for an input `target` (int64 [N]), an index or a
    /// label
    #[arg(long, default_value = "predicted")]
    target: String,
    /// Whose arithmetic to follow where sources disagree
    #[arg(long, default_value = "paper")]
    convention: String,
    /// The score to differentiate: logit or probability [default: the convention's]
    #[arg(long)]
    score: Option<String>,
    /// How to normalise maps: max, minmax or none [default: the convention's]
    #[arg(long)]
    normalize: Option<String>,
    /// The size of the maps
    #[arg(long, value_enum, default_value_t = MapSize::Layer)]
    size: MapSize,
    /// Take pixels instead of the model's input: `pixels`, uint8 [N, height, width, 3], RGB
    #[arg(long)]
    with_preprocessing: bool,
    /// Where to write the weights: `auto` leaves external data where it is if the file is written
    /// beside it
    #[arg(long, value_enum, default_value_t = Place::Auto)]
    weights: Place,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MapSize {
    Layer,
    Input,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Place {
    Auto,
    Inline,
    External,
}

impl Export {
    pub(super) fn run(&self) -> Result<()> {
        let named = |name, value: &'_ Option<String>| Some((name, value.as_deref()?.to_owned()));
        let class = Some(&self.target).filter(|target| !WORDS.contains(&target.as_str()));
        let given = [
            Some(("methods", self.method.clone())),
            Some(("convention", self.convention.clone())),
            named("layer", &self.layer),
            named("score", &self.score),
            named("normalize", &self.normalize),
            class.map(|class| ("target", class.clone())),
        ];
        let given: Vec<_> = given.into_iter().flatten().collect();
        let pairs = given.iter().map(|(name, value)| (*name, value.as_str()));
        let options = RequestOptions::parse(Operation::Compare, pairs, Output::Json)?;
        let config = self.source.load()?;
        crate::telemetry::start_log(&model::quiet(&config));
        let model = model::load(&config, Some(&self.model))?;
        let plan = validate::explanation(&model, &options.methods, &options.explain)?;
        let [layer] = plan.layers[..] else {
            let detail = "a file has the maps of one layer; option 'layer' takes one here";
            return Err(Error::new(Kind::Option, detail).about("layer"));
        };
        let score =
            |method: &Method| validate::method::score(&model, method.spec(), &options.explain);
        let scores: Vec<ScoreKind> = plan.methods.iter().map(score).collect();
        let request = ExportRequest {
            methods: plan.methods,
            layer,
            convention: options.explain.convention,
            scores: &scores,
            normalization: options.explain.normalize,
            target: match (self.target.as_str(), &plan.targets[..]) {
                ("input", _) => ExportTarget::Input,
                (_, []) => ExportTarget::Predicted,
                (_, &[class]) => ExportTarget::Class(class),
                _ => {
                    let detail = "a file explains one class of each image; `--target input` makes \
                                  it an input";
                    return Err(Error::new(Kind::Option, detail).about("target"));
                }
            },
            at_input_size: matches!(self.size, MapSize::Input),
            with_preprocessing: self.with_preprocessing,
        };
        model::keep(model.folder(), &self.out)?;
        let exported = export(&model, &request)?;
        let weights = match self.weights {
            Place::Auto => Weights::Auto,
            Place::Inline => Weights::Inline,
            Place::External => Weights::External,
        };
        let files = write(&self.out, exported, model.file(), weights)?;
        if !self.quiet {
            for warning in model.warnings() {
                output::note(&format!("warning: {}", warning.detail));
            }
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            output::note(&format!("wrote {}", names.join(" and ")));
        }
        Ok(())
    }
}
