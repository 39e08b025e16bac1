//! The options of a request as flags, made from the [table of options](crate::app::options).

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::app::Operation;
use crate::app::options::{OPTIONS, OptionSpec, ValueSyntax};

/// Which options a command has.
pub(super) trait Flags: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Those of these operations.
    const OPERATIONS: &'static [Operation];
}

/// The options that were given, as pairs of name and text.
#[derive(Clone, Debug)]
pub(super) struct OptionFlags<F> {
    pairs: Vec<(&'static str, String)>,
    flags: PhantomData<F>,
}

impl<F: Flags> OptionFlags<F> {
    /// Whether an option was given.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| *known == name)
    }

    /// Names and texts.
    pub(super) fn pairs(&self) -> &[(&'static str, String)] {
        &self.pairs
    }

    fn specs() -> impl Iterator<Item = &'static OptionSpec> {
        let has = |spec: &&OptionSpec| {
            spec.operations.iter().any(|operation| F::OPERATIONS.contains(operation))
        };
        OPTIONS.iter().copied().filter(has)
    }
}

impl<F: Flags> Args for OptionFlags<F> {
    fn augment_args(command: Command) -> Command {
        command.next_help_heading("Explanation options").args(Self::specs().map(|spec| {
            let arg = Arg::new(spec.name)
                .long(spec.flag())
                .alias(spec.name)
                .value_name(spec.metavar)
                .help(help(spec));
            // A boolean needs no value: `--emphasize` is enough.
            match spec.syntax {
                ValueSyntax::Boolean => arg.num_args(0..=1).default_missing_value("true"),
                _ => arg,
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<F: Flags> FromArgMatches for OptionFlags<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &'static str| Some((name, matches.get_one::<String>(name)?.clone()));
        let pairs = Self::specs().filter_map(|spec| given(spec.name)).collect();
        Ok(Self { pairs, flags: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// One line: what the option does, its values and its default.
fn help(spec: &OptionSpec) -> String {
    let expected = |operation| spec.syntax.expected(operation);
    let values = match spec.syntax {
        ValueSyntax::Choice(_) if spec.varies() => {
            let of = |operation| format!("to {operation}, {}", expected(operation));
            format!(": {}", spec.operations.iter().copied().map(of).collect::<Vec<_>>().join("; "))
        }
        ValueSyntax::Choice(_) => format!(": {}", expected(spec.operations[0])),
        ValueSyntax::Integer { .. } => format!("; {}", expected(spec.operations[0])),
        _ => String::new(),
    };
    let default = spec.default.text().map(|text| format!(" [default: {text}]"));
    format!("{}{values}{}", spec.summary, default.unwrap_or_default())
}
