//! The command line: argument parsing and terminal output.
//!
//! The options of an explanation are those of the API, parsed by the same code, so what works in a
//! URL works here. An error is one line on standard error. Exit codes: 0 done, 1 failed, 2 the
//! command could not be understood, 3 some of many images failed, 130 interrupted.

mod batch;
mod explain;
mod export;
mod health;
mod images;
mod inspect;
mod interrupt;
mod kserve_flags;
mod model;
mod models;
mod option_flags;
mod output;
mod reference;
mod serve;
mod try_load;
mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::engine::trial::COMMAND as TRY_LOAD;
use crate::error::{Error, Kind, Result};
pub use serve::ServeFn;

/// The exit code of a command that failed.
const FAILURE: u8 = 1;
/// The exit code of a command that could not be understood.
const USAGE: u8 = 2;
/// The exit code where some of many images failed.
const SOME_FAILED: u8 = 3;

/// How far a command came that did not fail as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    All,
    /// Some images failed; each has been reported.
    Some,
    /// All of many images failed; each has been reported.
    Nothing,
}

/// Where did it look? Grad-CAM, Grad-CAM++ and Score-CAM for any ONNX image classifier.
#[derive(Debug, Parser)]
#[command(name = "camlens", version, max_term_width = 100)]
#[command(
    after_help = "Every setting is explained in config/default.toml, and is also an environment variable \
                        CAMLENS_….\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 some of many images \
                        failed, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API, with a web page at /
    Serve(serve::Serve),
    /// Explain images: where did the model look?
    Explain(explain::Explain),
    /// Compare several methods on images: one figure an image
    Compare(explain::Compare),
    /// Explain folders, archives and tables of images, resumably: maps as Parquet
    Batch(batch::Batch),
    /// Show the most probable classes of images
    Predict(explain::Predict),
    /// List the models in the models folder
    Models(models::Models),
    /// Show what a model takes and which of its layers can be explained
    Inspect(inspect::Inspect),
    /// Write a model with its map as a plain ONNX file, which runs without camlens
    Export(export::Export),
    /// Load one model and exit, as a trial; the service runs this for models of unknown origin
    #[command(name = TRY_LOAD, hide = true)]
    TryLoad(try_load::TryLoad),
    /// Check whether a running service is ready
    Health(health::Health),
    /// Print a script that completes commands and options in a shell
    Completions(reference::Completions),
    /// Print the man page, or write those of all commands
    Man(reference::Man),
}

/// Where settings come from; every command accepts these.
#[derive(Args, Debug)]
struct Source {
    /// Settings file; config/default.toml documents every setting
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that holds one folder per model [default: models]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl Source {
    /// The settings: defaults, file, environment, flags, each overriding those before.
    fn load(&self) -> Result<Config> {
        let named =
            std::env::var_os("CAMLENS_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let path = self.config.clone().or(named);
        let text = path.as_deref().map(crate::text::read).transpose()?;
        let file = path.as_deref().zip(text.as_deref());
        let environment = std::env::vars_os().map(|(name, value)| (text_of(name), text_of(value)));
        let mut config = Config::load(file, environment)?;
        if let Some(models) = &self.models {
            config.models.folder.clone_from(models);
        } else if config.models.folder == Path::new("models") && !config.models.folder.exists() {
            // The working directory has no models folder, and no setting names one.
            let installed = crate::installation::models_folder();
            config.models.folder = installed.unwrap_or(config.models.folder);
        }
        Ok(config)
    }
}

fn text_of(text: OsString) -> String {
    text.to_string_lossy().into_owned()
}

/// Runs the command of this process. `serve` runs the HTTP service; it is a parameter so that `cli`
/// does not depend on `http`.
#[must_use]
pub fn run(serve: ServeFn) -> ExitCode {
    let command = match Cli::try_parse_from(arguments(std::env::args_os())) {
        Ok(cli) => cli.command,
        Err(message) => return explain_usage(&message),
    };
    let is_service = matches!(command, Command::Serve(_));
    if !is_service {
        interrupt::end_with_code();
    }
    let all = |outcome: Result<()>| outcome.map(|()| Done::All);
    let outcome = match command {
        Command::Serve(command) => all(command.run(serve)),
        Command::Explain(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Batch(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Models(command) => all(command.run()),
        Command::Inspect(command) => all(command.run()),
        Command::Export(command) => all(command.run()),
        Command::TryLoad(command) => all(command.run()),
        Command::Health(command) => all(command.run()),
        Command::Completions(command) => all(command.run(Cli::command())),
        Command::Man(command) => all(command.run(Cli::command())),
    };
    crate::telemetry::flush();
    let code = match outcome {
        Ok(Done::All) => 0,
        Ok(Done::Some) => SOME_FAILED,
        Ok(Done::Nothing) => FAILURE,
        Err(error) => {
            report(&error);
            if error.kind() == Kind::Option { USAGE } else { FAILURE }
        }
    };
    if is_service {
        end_process(code);
    }
    ExitCode::from(code)
}

/// Prints the help that was asked for, or what is wrong with the command line.
fn explain_usage(message: &clap::Error) -> ExitCode {
    let given: Vec<String> = std::env::args_os().skip(1).map(text_of).collect();
    if let Some(line) = usage::unknown_option(message, &given) {
        output::note(&format!("camlens: {line}"));
        return ExitCode::from(USAGE);
    }
    let printed = message.print().and_then(|()| std::io::stdout().flush());
    match (output::written(printed), message.use_stderr()) {
        (_, true) => ExitCode::from(USAGE),
        (Ok(()), false) => ExitCode::SUCCESS,
        (Err(error), false) => {
            output::note(&format!("camlens: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}

/// Ends the process without the destructors of its libraries. Threads may still be loading or
/// running models, and ONNX Runtime must not be taken down under them.
fn end_process(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// The arguments, with the command `serve` in front if the program itself has that name: SageMaker
/// runs a program `serve` in a container without an entry point.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let is_serve = |program: &OsString| Path::new(program).file_name() == Some("serve".as_ref());
    if arguments.first().is_some_and(is_serve)
        && arguments.get(1).is_none_or(|first| first != "serve")
    {
        arguments.insert(1, "serve".into());
    }
    arguments
}

/// Prints an error as one line, with its cause if it is internal, and with a hint.
fn report(error: &Error) {
    let cause = std::error::Error::source(error).filter(|_| error.kind() == Kind::Internal);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    let hint = match (error.kind(), error.model()) {
        (Kind::UnknownLayer, Some(id)) => format!("; `camlens inspect {id}` lists all"),
        _ => String::new(),
    };
    let text = usage::as_flags(&format!("{error}{cause}{hint}").replace('\n', " "));
    output::note(&format!("camlens: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parse(arguments: &[&str]) -> Result<Config> {
        let arguments = super::arguments(arguments.iter().map(OsString::from));
        let Command::Serve(serve) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command")
        };
        serve.config()
    }

    #[test]
    fn kserve_s_flags_start_the_service() {
        // What KServe appends to the arguments of an explainer's container.
        let config = parse(&[
            "camlens",
            "serve",
            "--model_name",
            "cats",
            "--predictor_host",
            "cats-predictor.default",
            "--http_port",
            "8081",
            "--workers=4",
            "--enable_grpc",
        ])
        .unwrap();
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:8081");
        assert_eq!(config.server.model_name.as_deref(), Some("cats"));
        let error = parse(&["camlens", "serve", "--model_name=my cats"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--model_name must be a name of letters, digits, _ and -, not 'my cats'"
        );
        let config = parse(&["camlens", "serve", "--http_port=8081", "--listen=[::1]:90"]).unwrap();
        assert_eq!(config.server.listen.to_string(), "[::1]:90");
    }

    #[test]
    fn a_program_called_serve_serves() {
        for arguments in [&["/usr/local/bin/serve"][..], &["serve", "serve"], &["camlens", "serve"]]
        {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
        }
        assert!(parse(&["serve", "--http_port=1"]).is_ok());
    }
}
