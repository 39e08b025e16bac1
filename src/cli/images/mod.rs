//! `camlens explain`, `compare` and `predict`: images without a server, by the same code as the
//! API.

mod bar;
mod destination;
mod inputs;
mod text;
mod whole_file;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::Value;

use self::bar::Bar;
use self::destination::{Destination, Fields};
use self::inputs::{Input, inputs};
use self::whole_file::write_whole;
use super::option_flags::{Flags, OptionFlags};
use super::{Done, Source, model, output, usage};
use crate::app::options::{OPTIONS, Output};
use crate::app::{self, ExplainRequest, ExplainResponse, Operation, RequestOptions};
use crate::engine::{CancellationToken, Model};
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::picture::decode::Limits;
use crate::picture::encode::Format;

/// What the three commands take.
#[derive(Args, Debug)]
pub(super) struct Images<F: Flags> {
    /// Image files, folders, patterns such as 'photos/*.jpg', or - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A file, a folder, a name such as '{stem}-{method}.png', or - for standard output [default: -]
    #[arg(short, long = "out", value_name = "PLACE", value_hint = ValueHint::AnyPath)]
    out: Option<String>,
    /// Print nothing but results and errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    options: OptionFlags<F>,
    #[command(flatten)]
    source: Source,
}

impl<F: Flags> Images<F> {
    /// Whether an option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// Runs an operation on each image.
    ///
    /// # Errors
    /// Those of the arguments and of the model; with one image, its own.
    pub(super) fn run(&self, operation: Operation) -> Result<Done> {
        let config = self.source.load()?;
        crate::telemetry::start_log(&model::quiet(&config));
        let destination =
            Destination::parse(self.out.as_deref(), operation, self.extension(operation))?;
        let options = self.parse(operation, &destination)?;
        let inputs = inputs(&self.images)?;
        let is_text = options.rendering.output == Output::Json;
        if destination == Destination::Stdout && !is_text {
            refuse_stdout(inputs.len())?;
        }
        // Everything that can be wrong without the model is found before it is loaded.
        let folder = model::find(&config, options.model.as_deref())?;
        let files = destination.files(&inputs, self.fields(&options, &folder.id))?;
        for file in files.iter().flatten() {
            model::keep(&folder, file)?;
        }
        let model = model::open(&config, folder)?;
        let limits = Limits { max_pixels: config.server.max_pixels };
        let run = Run {
            model: &model,
            options: &options,
            operation,
            limits,
            is_quiet: self.quiet,
            is_for_people: !self.has("output")
                && self.out.is_none()
                && std::io::stdout().is_terminal(),
        };
        run.each(&inputs, &files)
    }

    /// The extension of the files in a folder, by the options that name a form or a format. A wrong
    /// value is refused when the options are parsed.
    fn extension(&self, operation: Operation) -> &'static str {
        let named = |option: &str| {
            let pairs = self.options.pairs().iter();
            pairs.rev().find(|(name, _)| *name == option).map(|(_, value)| value.as_str())
        };
        let output = named("output").and_then(Output::from_name);
        match (output, named("format").and_then(Format::from_name)) {
            (Some(Output::Json), _) => "json",
            (Some(Output::Npy), _) => "npy",
            _ if operation == Operation::Predict => "json",
            (_, format) => format.unwrap_or_default().extension(),
        }
    }

    fn parse(&self, operation: Operation, destination: &Destination) -> Result<RequestOptions> {
        self.check_operation(operation)?;
        let form = match destination.form(operation)? {
            Some(form) => form,
            // Any extension will do if an option names the form.
            None if self.has("output") => Output::for_operation(operation)[0].into(),
            None => {
                let name = self.out.as_deref().unwrap_or_default();
                let detail = match operation {
                    Operation::Predict => format!("{name}: name it .json"),
                    Operation::Compare => {
                        format!("{name}: name it .png, .jpg, .webp, .svg or .json, or add --output")
                    }
                    Operation::Explain => {
                        format!("{name}: name it .png, .jpg, .webp, .json or .npy, or add --output")
                    }
                };
                return Err(Error::new(Kind::Option, detail));
            }
        };
        let pairs = self.options.pairs().iter().map(|(name, value)| (*name, value.as_str()));
        let options = RequestOptions::parse(operation, pairs, form)?;
        let (named, asked) = (form.format, options.rendering.format);
        if self.has("format") && destination.form(operation)?.is_some() && named != asked {
            let name = self.out.as_deref().unwrap_or("-");
            let detail = format!("{name} is the name of another file format than {}", asked.name());
            return Err(Error::new(Kind::Option, detail).about("format"));
        }
        Ok(options)
    }

    /// `explain` has the options of a comparison, too, but one image gets one of both.
    fn check_operation(&self, operation: Operation) -> Result<()> {
        let names = self.options.pairs().iter().map(|(name, _)| *name);
        let specs = names.filter_map(|name| OPTIONS.iter().find(|spec| spec.name == name));
        match specs.into_iter().find(|spec| !spec.operations.contains(&operation)) {
            Some(spec) => {
                let (flag, takers) = (spec.flag(), usage::takers(spec));
                let detail = format!("{takers} --{flag}, and this is a comparison (--methods)");
                Err(Error::new(Kind::Option, detail).about(spec.name))
            }
            None => Ok(()),
        }
    }

    fn fields<'a>(&self, options: &'a RequestOptions, model: &'a str) -> Fields<'a> {
        let method = match options.methods.as_slice() {
            [method] => method.name(),
            _ => "compare",
        };
        Fields { method, model }
    }
}

/// Standard output takes one picture or array, and not on a terminal.
fn refuse_stdout(images: usize) -> Result<()> {
    if images > 1 {
        let detail = "standard output takes one picture or array: name a folder with -o";
        return Err(Error::new(Kind::Option, detail));
    }
    if std::io::stdout().is_terminal() {
        let detail =
            "a terminal can't show pictures or arrays: name a file with -o, or use --output json";
        return Err(Error::new(Kind::Option, detail));
    }
    Ok(())
}

/// One run over images with a loaded model.
struct Run<'a> {
    model: &'a Model,
    options: &'a RequestOptions,
    operation: Operation,
    limits: Limits,
    is_quiet: bool,
    /// Whether results are told in words: nothing names a form, and a person reads them.
    is_for_people: bool,
}

impl Run<'_> {
    fn each(&self, inputs: &[Input], files: &[Option<PathBuf>]) -> Result<Done> {
        let bar = Bar::new(inputs.len(), self.is_quiet);
        let mut failed = 0;
        for (input, file) in inputs.iter().zip(files) {
            match self.one(input, file.as_deref(), &bar) {
                Ok(()) => {}
                // One bad image does not stop the others; a wrong option or a full disk would stop
                // them all.
                Err(error) if inputs.len() > 1 && is_about_the_image(&error) => {
                    failed += 1;
                    let text = about(input, &error).to_string().replace('\n', " ");
                    bar.note(&format!("camlens: {}", usage::as_flags(&text)));
                }
                Err(error) => {
                    bar.finish();
                    return Err(if is_about_the_image(&error) {
                        about(input, &error)
                    } else {
                        error
                    });
                }
            }
            bar.advance();
        }
        bar.finish();
        if self.is_for_people && !self.is_quiet && self.operation != Operation::Predict {
            output::note(match inputs.len() {
                1 => "-o map.png writes the picture",
                _ => "-o '{stem}.png' writes the pictures",
            });
        }
        Ok(match failed {
            0 => Done::All,
            _ if failed == inputs.len() => Done::Nothing,
            _ => Done::Some,
        })
    }

    fn one(&self, input: &Input, file: Option<&Path>, bar: &Bar) -> Result<()> {
        let (operation, options) = (self.operation, self.options.clone());
        let request = ExplainRequest { operation, image: input.read()?, options };
        let cancel = CancellationToken::default();
        let progress = |done: usize, total: usize| bar.passes(done, total);
        let response = app::execute(self.model, &request, self.limits, &cancel, &progress)?;
        match file {
            Some(file) => self.write(&response, file, bar),
            None => self.print(&response, input, bar),
        }
    }

    /// Writes a file under its name only once it is complete.
    fn write(&self, response: &ExplainResponse, file: &Path, bar: &Bar) -> Result<()> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Setup, error.to_string()).at_path(file);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        write_whole(file, &response.body).map_err(failed)?;
        if !self.is_quiet {
            bar.note(&format!("{}: {}", file.display(), text::of_file(response)));
            self.warn(response, bar);
        }
        Ok(())
    }

    fn print(&self, response: &ExplainResponse, input: &Input, bar: &Bar) -> Result<()> {
        let is_text = self.options.rendering.output == Output::Json;
        if !is_text {
            return output::result(&response.body);
        }
        if !self.is_for_people {
            let line = json_line(&response.body, bar.has_many.then(|| input.name()));
            return output::result(&line);
        }
        let body: Value = serde_json::from_slice(&response.body)
            .map_err(|error| Error::internal("reading a result", error))?;
        let maps = response.facts.maps.iter();
        let methods: Vec<&str> =
            maps.flat_map(|maps| &maps.methods).map(|method| method.name).collect();
        let text = text::of_result(&input.name(), &body, &methods);
        bar.suspend(|| output::result(text.as_bytes()))?;
        if !self.is_quiet {
            self.warn(response, bar);
        }
        Ok(())
    }

    fn warn(&self, response: &ExplainResponse, bar: &Bar) {
        for warning in &response.facts.warnings {
            bar.note(&format!("warning: {}", usage::as_flags(&warning.detail)));
        }
    }
}

/// A JSON object as a line; one of several tells its file.
fn json_line(object: &[u8], file: Option<String>) -> Vec<u8> {
    let file = file.map(|file| format!("{{\"file\":{},", Value::from(file)));
    let (start, rest) = match &file {
        Some(start) => (start.as_bytes(), &object[1..]),
        None => (&[][..], object),
    };
    [start, rest, b"\n"].concat()
}

/// An error with the name of the image that it is about.
fn about(input: &Input, error: &Error) -> Error {
    let (name, known) = (input.name(), error.to_string());
    let detail = if known.starts_with(&name) { known } else { format!("{name}: {known}") };
    Error::new(error.kind(), detail)
}

/// Whether another image may succeed where this one failed.
fn is_about_the_image(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::Malformed
            | Kind::ImageTooLarge
            | Kind::UnsupportedImage
            | Kind::CorruptImage
            | Kind::NotANumber
            | Kind::BodyTooLarge
    )
}
