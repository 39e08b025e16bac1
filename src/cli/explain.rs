//! `camlens explain IMAGE`: explains one image without a server, with the same code as the API.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::option_flags::OptionFlags;
use super::{Source, output};
use crate::app::options::Output;
use crate::app::response::TargetFacts;
use crate::app::{self, ExplainRequest, ExplainResponse, Operation, RequestOptions};
use crate::config::Config;
use crate::engine::{CancellationToken, Model, ModelRegistry, Settings};
use crate::error::{Error, Kind, Result};
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
    /// The file to write, .png, .json or .npy; `-` is standard output
    #[arg(short, long = "out", value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Compare several methods: the article's figure, or JSON with every map
    #[arg(long)]
    compare: bool,
    #[command(flatten)]
    options: OptionFlags,
    #[command(flatten)]
    source: Source,
}

impl Explain {
    pub(super) fn run(&self) -> Result<()> {
        let config = self.source.load()?;
        crate::telemetry::start_log(&quiet(&config));
        let is_compared = self.compare || self.options.contains("methods");
        let operation = if is_compared { Operation::Compare } else { Operation::Explain };
        let pairs = self.options.0.iter().map(|(name, value)| (*name, value.as_str()));
        let options = RequestOptions::parse(operation, pairs, self.form(operation)?)?;
        let is_text = options.rendering.output == Output::Json;
        if self.is_stdout() && !is_text && std::io::stdout().is_terminal() {
            let detail = "a terminal can't show pictures or arrays: name a file with -o, or use --output json";
            return Err(Error::new(Kind::Option, detail));
        }

        let image = std::fs::read(&self.image)
            .map_err(|error| Error::new(Kind::Malformed, error.to_string()).at_path(&self.image))?;
        let model = load(&config, options.model.as_deref())?;
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} masked images, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let progress = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let limits = Limits { max_pixels: config.server.max_pixels };
        let request = ExplainRequest { operation, image: image.into(), options };
        let cancel = CancellationToken::default();
        let response = app::execute(&model, &request, limits, &cancel, &progress);
        bar.finish_and_clear();
        self.write(&response?)
    }

    /// The form of the result if no option names it: the file's extension does.
    fn form(&self, operation: Operation) -> Result<Output> {
        if self.is_stdout() {
            return Ok(Output::Json);
        }
        let extension =
            self.out.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let form = match extension.as_deref() {
            Some("png") => Output::for_operation(operation)[0],
            Some("json") => Output::Json,
            Some("npy") => Output::Npy,
            // Any extension will do if an option names the form.
            _ if self.options.contains("output") => Output::for_operation(operation)[0],
            _ => {
                let detail =
                    format!("{}: name it .png, .json or .npy, or add --output", self.out.display());
                return Err(Error::new(Kind::Option, detail));
            }
        };
        if Output::for_operation(operation).contains(&form) {
            Ok(form)
        } else {
            Err(Error::new(Kind::Option, "a comparison can be written to .png or .json"))
        }
    }

    fn is_stdout(&self) -> bool {
        self.out == Path::new("-")
    }

    fn write(&self, response: &ExplainResponse) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Malformed, error.to_string()).at_path(&self.out)
        };
        if self.is_stdout() {
            return output::result(&response.body).map_err(failed);
        }
        std::fs::write(&self.out, &response.body).map_err(failed)?;
        let line = format!("{}: {}", self.out.display(), summary(response));
        let warnings = response.facts.warnings.iter();
        let warnings = warnings.map(|warning| format!("warning: {}", warning.detail));
        let lines: Vec<String> = std::iter::once(line).chain(warnings).collect();
        output::note(&lines.join("\n"));
        Ok(())
    }
}

/// What the file shows, in one line.
fn summary(response: &ExplainResponse) -> String {
    let model = &response.facts.model;
    let Some(maps) = &response.facts.maps else { return model.clone() };
    let join = |texts: Vec<String>| texts.join(",");
    let indices = join(maps.targets.iter().map(|target| target.index.to_string()).collect());
    let amount = |target: &TargetFacts| target.value.or(target.probability).map(|v| v.to_string());
    let amounts = join(maps.targets.iter().filter_map(amount).collect());
    let has_values = maps.targets.iter().any(|target| target.value.is_some());
    let (what, measure) = if has_values { ("output", "value") } else { ("class", "probability") };
    let empty = maps.targets.iter().filter(|target| target.is_empty).count();
    let note = match empty {
        _ if maps.method.is_none() => "",
        0 => "",
        _ if maps.targets.len() == 1 => "; nothing in the layer supports it",
        _ => "; nothing in the layer supports some of them",
    };
    let layer = &maps.layer;
    format!("{what} {indices} ({measure} {amounts}) of {model}, layer {layer}{note}")
}

/// Loads only the requested model: loading the others would waste time.
pub(super) fn load(config: &Config, id: Option<&str>) -> Result<Model> {
    let folder = &config.models.folder;
    let (_, id) = available_models(folder, id.or(config.models.default.as_deref()))?;
    ModelRegistry::load_one(ModelFolder::read(&folder.join(id))?, &engine(config))
}

/// The engine's settings for one request at a time.
pub(super) fn engine(config: &Config) -> Settings {
    Settings { side_by_side: Some(1), ..config.engine.clone().into() }
}

/// The log settings of a one-shot command: only warnings, unless the settings specify more.
pub(super) fn quiet(config: &Config) -> crate::config::Log {
    let mut log = config.log.clone();
    if log.level == "info" {
        log.level = "warn".into();
    }
    log
}
