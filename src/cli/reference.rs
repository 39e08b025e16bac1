//! `camlens completions` and `camlens man`, made from the definitions of the command line.

use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::option_flags::with_values;
use super::output;
use crate::app::operation::ALL;
use crate::error::{Error, Kind, Result};

/// The shells that completions are tested for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
                        camlens completions bash > ~/.local/share/bash-completion/completions/camlens\n  \
                        camlens completions fish > ~/.config/fish/completions/camlens.fish")]
pub(super) struct Completions {
    shell: KnownShell,
}

impl Completions {
    pub(super) fn run(&self, command: Command) -> Result<()> {
        // A script has no use for hidden commands.
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set()).cloned();
        let command = Command::new("camlens").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
        let mut command = ALL.iter().fold(command, |command, operation| {
            command.mut_subcommand(operation.to_string(), |one| with_values(one, *operation))
        });
        let shell = match self.shell {
            KnownShell::Bash => Shell::Bash,
            KnownShell::Zsh => Shell::Zsh,
            KnownShell::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, &mut command, "camlens", &mut script);
        output::result(&script)
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  camlens man | man -l -\n  camlens man -o ~/.local/share/man/man1"
)]
pub(super) struct Man {
    /// Write the page of every command into this folder
    #[arg(short, long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, command: Command) -> Result<()> {
        let Some(folder) = &self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Error::internal("writing a man page", error))?;
            return output::result(&page);
        };
        let failed =
            |error: std::io::Error| Error::new(Kind::Setup, error.to_string()).at_path(folder);
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command, folder).map_err(failed)
    }
}
