//! `camlens explain IMAGE`: one image without a server, by the same code.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Source;
use super::asked::Asked;
use crate::config::Config;
use crate::engine::{CancellationToken, Model, ModelRegistry};
use crate::error::{Error, Kind, Result};
use crate::http::answer::Answer;
use crate::http::options::{Endpoint, Output, Question};
use crate::http::work;
use crate::model::ModelFolder;
use crate::model::folder::available_models;
use crate::picture::decode::Limits;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  camlens explain cat.jpg -o heatmap.png\n  \
                        camlens explain cat.jpg --method scorecam --target 'Egyptian cat' -o map.npy\n  \
                        camlens explain cat.jpg --compare -o figure.png")]
pub(super) struct Explain {
    /// PNG, JPEG, WebP, GIF, BMP or TIFF
    image: PathBuf,
    /// Where to write: .png, .json or .npy; `-` is standard output
    #[arg(short, long = "out", value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Compare several methods: the article's figure, or JSON with every map
    #[arg(long)]
    compare: bool,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    source: Source,
}

impl Explain {
    pub(super) fn run(&self) -> Result<()> {
        let config = self.source.load()?;
        crate::telemetry::start(&quiet(&config));
        let is_compared = self.compare || self.asked.0.iter().any(|(name, _)| *name == "methods");
        let endpoint = if is_compared { Endpoint::Compare } else { Endpoint::Explain };
        let pairs = self.asked.0.iter().map(|(name, value)| (*name, value.as_str()));
        let question = Question::parse(endpoint, pairs, self.form(endpoint)?)?;
        let is_text = question.rendering.output == Output::Json;
        if self.is_stdout() && !is_text && std::io::stdout().is_terminal() {
            let detail = "a terminal shows no pictures or arrays: name a file with -o, or ask for --output json";
            return Err(Error::new(Kind::Option, detail));
        }

        let file = std::fs::read(&self.image).map_err(|error| {
            Error::new(Kind::Malformed, format!("{}: {error}", self.image.display()))
        })?;
        let model = load(&config, question.model.as_deref())?;
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} masked images, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let progress = |done: usize, of: usize| {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        };
        let limits = Limits { max_pixels: config.server.max_pixels };
        let answer = work::answer(
            endpoint,
            &model,
            &file,
            &question,
            limits,
            &CancellationToken::default(),
            &progress,
        );
        bar.finish_and_clear();
        self.write(&answer?)
    }

    /// The form of the answer when no option names it: the file's name does.
    fn form(&self, endpoint: Endpoint) -> Result<Output> {
        if self.is_stdout() {
            return Ok(Output::Json);
        }
        let extension =
            self.out.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let form = match extension.as_deref() {
            Some("png") => Output::of(endpoint)[0],
            Some("json") => Output::Json,
            Some("npy") => Output::Npy,
            // A name that says nothing is fine beside an option that says it.
            _ if self.asked.0.iter().any(|(name, _)| *name == "output") => Output::of(endpoint)[0],
            _ => {
                let detail =
                    format!("{}: name it .png, .json or .npy, or add --output", self.out.display());
                return Err(Error::new(Kind::Option, detail));
            }
        };
        if Output::of(endpoint).contains(&form) {
            Ok(form)
        } else {
            Err(Error::new(Kind::Option, "a comparison is written to .png or .json"))
        }
    }

    fn is_stdout(&self) -> bool {
        self.out == Path::new("-")
    }

    fn write(&self, answer: &Answer) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Malformed, format!("{}: {error}", self.out.display()))
        };
        if self.is_stdout() {
            let mut out = std::io::stdout().lock();
            return out.write_all(&answer.body).and_then(|()| out.flush()).map_err(failed);
        }
        std::fs::write(&self.out, &answer.body).map_err(failed)?;
        let fact = |name: &str| {
            answer
                .facts
                .iter()
                .find(|(known, _)| *known == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let empty = match fact("camlens-empty") {
            "true" => "; nothing in the layer speaks for it",
            several if several.contains("true") => "; nothing in the layer speaks for some of them",
            _ => "",
        };
        let line = format!(
            "{}: class {} (probability {}) of {}, layer {}{empty}",
            self.out.display(),
            fact("camlens-target"),
            fact("camlens-probability"),
            fact("camlens-model"),
            fact("camlens-layer"),
        );
        writeln!(std::io::stderr(), "{line}").map_err(failed)
    }
}

/// Only the model that is asked: loading the others would be time for nothing.
pub(super) fn load(config: &Config, id: Option<&str>) -> Result<Model> {
    let folder = &config.models.folder;
    let (_, id) = available_models(folder, id.or(config.models.default.as_deref()))?;
    ModelRegistry::load_one(ModelFolder::read(&folder.join(id))?, &config.engine.clone().into())
}

/// A command that does one thing says only what went wrong, unless more is asked for.
pub(super) fn quiet(config: &Config) -> crate::config::Log {
    let mut log = config.log.clone();
    if log.level == "info" {
        log.level = "warn".into();
    }
    log
}
