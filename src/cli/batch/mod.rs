//! `camlens batch`: maps of folders, lists, archives and tables of images.

mod progress;

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use self::progress::Progress;
use super::option_flags::{Flags, OptionFlags};
use super::{Done, Source, model, output, usage};
use crate::app::options::Output;
use crate::app::{Operation, RequestOptions, validate};
use crate::batch::{
    BatchRequest, Columns, MapFormat, MapType, RunSettings, Shard, Summary, run, sources,
};
use crate::engine::{Model, ModelRegistry, Settings};
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::picture::decode::Limits;

/// The options of `batch`: those of `explain`.
#[derive(Clone, Debug)]
pub(super) struct BatchFlags;

impl Flags for BatchFlags {
    const OPERATIONS: &'static [Operation] = &[Operation::Explain];
}

/// Options that concern pictures alone.
const OF_PICTURES: [&str; 6] = ["output", "format", "colormap", "blend", "weight", "dpi"];

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
                        camlens batch photos/ -o maps/\n  \
                        camlens batch 'shards/*.tar' --shard 0/8 --resume -o maps/\n  \
                        camlens batch train.parquet --id-column file --map-type float16 -o maps/\n\n\
                        -o has a line an image in manifest.jsonl, the maps in maps-00000.parquet, …, and with\n\
                        --output a picture an image in pictures/. Exit codes: 3 if some images have no map.")]
pub(super) struct Batch {
    /// Folders with their subfolders, image files, patterns, .tar and .tar.gz archives, .parquet
    /// tables, .txt lists of files; - is a list from standard input
    #[arg(required = true, value_name = "IN")]
    images: Vec<PathBuf>,
    /// The folder to write results to
    #[arg(short, long = "out", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Go on with the run whose results are there, or begin it
    #[arg(long)]
    resume: bool,
    /// Explain one of N parts of the images, I from 0; its results go to FOLDER/shard-I-of-N
    #[arg(long, value_name = "I/N", allow_hyphen_values = true)]
    shard: Option<String>,
    /// The form of the files of maps
    #[arg(long, value_enum, default_value_t = Form::Parquet)]
    maps: Form,
    /// The numbers in maps
    #[arg(long, value_enum, default_value_t = Numbers::Float32)]
    map_type: Numbers,
    /// Images whose maps share a file; large maps share it with fewer
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    images_per_file: u32,
    /// A table's column of images [default: image, or the only column of bytes]
    #[arg(long, value_name = "NAME")]
    image_column: Option<String>,
    /// A table's column of unique ids [default: rows are counted]
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// Images that are worked on at once [default: one more than threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Exit with 0 even if some images have no map; their records say why
    #[arg(long)]
    allow_failures: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    options: OptionFlags<BatchFlags>,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Parquet,
    Npz,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    Float32,
    Float16,
}

impl Batch {
    pub(super) fn run(&self) -> Result<Done> {
        let config = self.source.load()?;
        crate::telemetry::start_log(&model::quiet(&config));
        let (options, pictures) = (self.maps_options()?, self.picture_options()?);
        if self.maps == Form::None && pictures.is_none() {
            let detail = "--maps none leaves nothing to write: add --output overlay for pictures";
            return Err(Error::new(Kind::Option, detail).about("maps"));
        }
        if self.maps == Form::Npz && self.map_type == Numbers::Float16 {
            let detail = "an .npz file has maps of float32; --maps parquet has float16";
            return Err(Error::new(Kind::Option, detail).about("map-type"));
        }
        let shard = self.shard.as_deref().map_or(Ok(Shard::WHOLE), str::parse)?;
        let columns = Columns { image: self.image_column.clone(), id: self.id_column.clone() };
        let sources = sources(&self.images, &columns, &self.out)?;

        let folder = model::find(&config, options.model.as_deref())?;
        // Every image is new, and passes of small models run side by side.
        let engine = Settings { cache_bytes: 0, ..config.engine.clone().into() };
        let model = ModelRegistry::load_one(folder, &engine)?;
        // What is wrong with the options is wrong for every image.
        validate::explanation(&model, &options.methods, &options.explain)?;
        let request = BatchRequest {
            model: &model,
            options: &options,
            pictures: pictures.as_ref(),
            maps: match self.maps {
                Form::Parquet => Some(MapFormat::Parquet),
                Form::Npz => Some(MapFormat::Npz),
                Form::None => None,
            },
            map_type: match self.map_type {
                Numbers::Float32 => MapType::Float32,
                Numbers::Float16 => MapType::Float16,
            },
            images_per_file: self.images_per_file as usize,
            sources: &sources,
            shard,
            folder: &self.out,
            resume: self.resume,
            settings: self.settings(&model),
            limits: Limits { max_pixels: config.server.max_pixels },
            workers: self.workers.map_or_else(|| model.threads() + 1, usize::from),
        };
        let progress = Progress::new(self.quiet);
        if !self.quiet {
            for warning in model.warnings() {
                output::note(&format!("warning: {}", usage::as_flags(&warning.detail)));
            }
        }
        let outcome = run(&request, &progress);
        progress.finish();
        let summary = outcome?;
        if !self.quiet {
            progress.summarise(summary);
        }
        Ok(match summary {
            Summary { complete: true, failed: 0, .. } => Done::All,
            Summary { complete: true, .. } if self.allow_failures => Done::All,
            Summary { images, failed, .. } if failed == images => Done::Nothing,
            _ => Done::Some,
        })
    }

    /// The options of the maps: at the layer's size, unless the command says otherwise.
    fn maps_options(&self) -> Result<RequestOptions> {
        let pairs = self.options.pairs().iter().filter(|(name, _)| !OF_PICTURES.contains(name));
        let mut pairs: Vec<_> = pairs.map(|(name, value)| (*name, value.as_str())).collect();
        if !self.options.contains("size") {
            pairs.push(("size", "layer"));
        }
        RequestOptions::parse(Operation::Explain, pairs, Output::Npy)
    }

    /// The options of the pictures, if the command names their form.
    fn picture_options(&self) -> Result<Option<RequestOptions>> {
        let given = self.options.pairs();
        let of_pictures = given.iter().find(|(name, _)| OF_PICTURES.contains(name));
        let form = given.iter().find(|(name, _)| *name == "output").map(|(_, value)| value);
        let form = match (form.map(|form| Output::from_name(form)), of_pictures) {
            (None, None) => return Ok(None),
            (None, Some((name, _))) => {
                let detail = format!("--{name} is about pictures: add --output overlay");
                return Err(Error::new(Kind::Option, detail).about(*name));
            }
            (Some(Some(Output::Json | Output::Npy)), _) => {
                let detail = "--output names the pictures here: overlay, heatmap or gray; maps are \
                              written without it (--maps)";
                return Err(Error::new(Kind::Option, detail).about("output"));
            }
            (Some(form), _) => form.unwrap_or(Output::Overlay),
        };
        let pairs = given.iter().filter(|(name, _)| *name != "size");
        let pairs = pairs.map(|(name, value)| (*name, value.as_str()));
        RequestOptions::parse(Operation::Explain, pairs, form).map(Some)
    }

    /// What decides the results.
    fn settings(&self, model: &Model) -> RunSettings {
        let mut settings = RunSettings::new();
        let mut set = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
        for (name, value) in self.options.pairs() {
            set(name, value);
        }
        set("model", model.id());
        set("model_sha256", &model.file().sha256());
        set("shard", self.shard.as_deref().unwrap_or("0/1"));
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        set("maps", &name(self.maps.to_possible_value()));
        set("map_type", &name(self.map_type.to_possible_value()));
        settings
    }
}
