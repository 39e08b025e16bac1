//! The options of a request as flags, made from the [table of options](crate::app::options).

use std::marker::PhantomData;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::app::options::{OPTIONS, OptionSpec, ValueSyntax};
use crate::app::{self, Operation};

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
                .help(help(spec, F::OPERATIONS));
            // A boolean needs no value: `--emphasize` is enough, and what follows it is an image.
            match spec.syntax {
                ValueSyntax::Boolean => {
                    arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                }
                // A class may be called -1; then the error says which classes there are.
                _ => arg.allow_negative_numbers(true),
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

/// A command with the values that its options take, for scripts that complete them. The command
/// that parses has none of them: the options' own parser also takes other spellings, and its errors
/// are those of the API.
pub(super) fn with_values(command: Command, operation: Operation) -> Command {
    app::options::accepted(operation).fold(command, |command, spec| {
        let values = match spec.syntax {
            ValueSyntax::Choice(names) | ValueSyntax::ChoiceList(names) => names(operation),
            ValueSyntax::Boolean => vec!["true", "false"],
            _ => return command,
        };
        command.mut_arg(spec.name, |arg| {
            let arg = arg.value_parser(PossibleValuesParser::new(values));
            // The help names them already.
            arg.hide_possible_values(true)
        })
    })
}

/// One line: what the option does, its values for these operations, and its default.
fn help(spec: &OptionSpec, operations: &[Operation]) -> String {
    let accepts = |operation: &&Operation| spec.operations.contains(operation);
    let operations: Vec<Operation> = operations.iter().filter(accepts).copied().collect();
    let expected: Vec<String> =
        operations.iter().map(|operation| spec.syntax.expected(*operation)).collect();
    let varies = expected.iter().any(|other| *other != expected[0]);
    let values = match spec.syntax {
        ValueSyntax::Text | ValueSyntax::Boolean | ValueSyntax::Number { .. } => String::new(),
        ValueSyntax::List { .. } if expected == ["one name"] => String::new(),
        _ if varies => {
            let each = operations.iter().zip(&expected);
            let each = each.map(|(operation, expected)| format!("to {operation}, {expected}"));
            format!(": {}", each.collect::<Vec<_>>().join("; "))
        }
        ValueSyntax::Choice(_) => format!(": {}", expected[0]),
        _ => format!("; {}", expected[0]),
    };
    let default = spec.default.text().map(|text| format!(" [default: {text}]"));
    format!("{}{values}{}", spec.summary, default.unwrap_or_default())
}
