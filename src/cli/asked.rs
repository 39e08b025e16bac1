//! The options of an explanation as flags: each of the server's, by the same name.
//!
//! They are made from the server's own table, so neither can have one that the other lacks.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::http::options::OPTIONS;

/// Options as they were given: names and texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(pub(super) Vec<(&'static str, String)>);

impl Args for Asked {
    fn augment_args(command: Command) -> Command {
        command.next_help_heading("Options of the explanation").args(OPTIONS.iter().map(|option| {
            let arg = Arg::new(option.name)
                .long(option.name.replace('_', "-"))
                .alias(option.name)
                .value_name(option.value)
                .help(option.help);
            // A flag needs no value: `--emphasize` says enough.
            if option.value == "BOOL" {
                arg.num_args(0..=1).default_missing_value("true")
            } else {
                arg
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Asked {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &'static str| Some((name, matches.get_one::<String>(name)?.clone()));
        Ok(Self(OPTIONS.iter().filter_map(|option| given(option.name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
