//! What is wrong with a command line, in camlens's own words where clap's would mislead.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;
use crate::app::options::{OPTIONS, OptionSpec, ValueSyntax};
use crate::spelling::nearest;

/// What people call options elsewhere, with camlens's names.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("alpha", "weight"),
    ("cam", "method"),
    ("class", "target"),
    ("cmap", "colormap"),
    ("host", "listen"),
    ("json", "output json"),
    ("label", "target"),
    ("opacity", "weight"),
    ("port", "listen"),
];

/// The line for an option that the command does not have; `None` for every other error.
pub(super) fn unknown_option(message: &clap::Error, arguments: &[String]) -> Option<String> {
    let ContextValue::String(given) = message.get(ContextKind::InvalidArg)? else { return None };
    let name = given.strip_prefix("--").filter(|_| message.kind() == ErrorKind::UnknownArgument)?;
    let name = name.split('=').next().unwrap_or(name);
    let program = Cli::command();
    let command = arguments.iter().find_map(|argument| program.find_subcommand(argument))?;
    let proposal = proposal(command, name).map(|name| format!("; did you mean --{name}?"));
    let rest = proposal.unwrap_or_else(|| "; `--help` lists all options".to_owned());
    let owner = OPTIONS.iter().find(|spec| spec.flag() == name || spec.name == name);
    let owner = owner.map(|spec| format!(", which {}", takers(spec)));
    Some(format!("{} has no --{name}{}{rest}", command.get_name(), owner.unwrap_or_default()))
}

/// The option of a command that a wrong name may mean.
fn proposal(command: &Command, wrong: &str) -> Option<String> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let names: Vec<&str> = shown.filter_map(|argument| argument.get_long()).collect();
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == wrong);
    let other = other.filter(|(_, name)| names.iter().any(|known| name.starts_with(known)));
    other.map(|(_, name)| *name).or_else(|| nearest(wrong, names)).map(str::to_owned)
}

/// `only explain takes`, or `only explain and compare take`.
pub(super) fn takers(spec: &OptionSpec) -> String {
    let commands: Vec<String> = spec.operations.iter().map(ToString::to_string).collect();
    let verb = if commands.len() == 1 { "takes" } else { "take" };
    format!("only {} {verb}", commands.join(" and "))
}

/// A message of the API with its options as the command line has them: `--score logit` for
/// `score=logit`, `--signed` for `signed=true`.
pub(super) fn as_flags(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for word in message.split_inclusive(' ') {
        out.push_str(&flag(word).unwrap_or_else(|| word.to_owned()));
    }
    out
}

fn flag(word: &str) -> Option<String> {
    let (name, value) = word.split_once('=')?;
    let start = name.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (before, name) = name.split_at(start);
    let spec = OPTIONS.iter().find(|spec| spec.name == name)?;
    // A quoted address or name is no advice.
    if !before.chars().all(|mark| matches!(mark, '(' | '\'')) {
        return None;
    }
    let flag = spec.flag();
    Some(match spec.syntax {
        ValueSyntax::Boolean if value.starts_with("true") => {
            format!("{before}--{flag}{}", &value["true".len()..])
        }
        ValueSyntax::Boolean => format!("{before}--{flag}={value}"),
        _ => format!("{before}--{flag} {value}"),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let error = Cli::try_parse_from(&arguments).unwrap_err();
        unknown_option(&error, &arguments[1..]).unwrap()
    }

    #[test]
    fn an_unknown_option_gets_the_one_that_is_meant() {
        for (given, told) in [
            (["explain", "--class", "3"], "explain has no --class; did you mean --target?"),
            (["explain", "--json", "x"], "explain has no --json; did you mean --output json?"),
            (["explain", "--topk", "3"], "explain has no --topk; did you mean --top-k?"),
            (["explain", "--alpha", "3"], "explain has no --alpha; did you mean --weight?"),
            (["serve", "--port", "3"], "serve has no --port; did you mean --listen?"),
            (["explain", "--zzz", "3"], "explain has no --zzz; `--help` lists all options"),
            (
                ["compare", "--method", "x"],
                "compare has no --method, which only explain takes; did you mean --methods?",
            ),
            (
                ["predict", "--layer", "x"],
                "predict has no --layer, which only explain and compare take; `--help` lists all \
                 options",
            ),
        ] {
            assert_eq!(refused(&[&["camlens"][..], &given].concat()), told);
        }
    }

    #[test]
    fn advice_of_the_api_becomes_that_of_the_command_line() {
        for (api, command_line) in [
            ("try method=scorecam, or score=logit", "try --method scorecam, or --score logit"),
            ("signed=true shows more", "--signed shows more"),
            ("write (negate=false)", "write (--negate=false)"),
            ("max_channels=9 works", "--max-channels 9 works"),
            ("a=b and x/score=logit stay", "a=b and x/score=logit stay"),
        ] {
            assert_eq!(as_flags(api), command_line);
        }
    }
}
