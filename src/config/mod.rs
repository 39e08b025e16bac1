//! The settings of the service, and how they are read.
//!
//! Values come from the defaults, the file of `--config`, the environment and flags, in that
//! order; later sources win. Nothing is guessed: an unknown key or variable, or an invalid value,
//! is an [`Error`] of one line that names it, and the service does not start.
//!
//! [`SETTINGS`] lists every setting once with both of its names. `config/default.toml` documents
//! them, and a test ensures that the file equals [`Config::default`]. Nothing here reads the
//! process's environment: the caller passes it in.

mod platforms;
mod sections;
mod table;

use std::path::Path;

use crate::error::{Error, Kind, Result};
pub use sections::{Config, Engine, Log, LogFormat, Models, Server, VertexRoutes};
pub use table::SETTINGS;

impl Config {
    /// Reads the settings: the defaults, overridden by a file (its path and text), overridden by
    /// the environment.
    ///
    /// # Errors
    /// [`Kind::Setup`] with a single line that names the setting at fault.
    pub fn load(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut config = match file {
            Some((path, text)) => {
                Self::parse(text).map_err(|reason| setup(reason).at_path(path))?
            }
            None => Self::default(),
        };
        let environment: Vec<_> = environment.into_iter().collect();
        platforms::apply(&mut config.server, &environment)?;
        config.apply(environment)?;
        Ok(config)
    }

    /// Reads the settings of a TOML text; missing keys take their defaults.
    ///
    /// # Errors
    /// A single line that names the key at fault.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            // The parser's messages can span several lines; a start-up error must fit on one.
            let message = error.message().replace('\n', " ");
            match error.span().and_then(|span| key_before(text, span.start)) {
                Some(key) if !message.contains(&key) => format!("line {line}: {key}: {message}"),
                _ => format!("line {line}: {message}"),
            }
        })?;
        for setting in SETTINGS {
            (setting.check)(&config).map_err(|reason| {
                let value = value_of(text, setting.key).map(|value| format!(", not '{value}'"));
                format!("{} {reason}{}", setting.key, value.unwrap_or_default())
            })?;
        }
        Ok(config)
    }

    /// Checks the value of the setting with this key, for a flag that has set it.
    ///
    /// # Errors
    /// What it must be.
    pub fn check(&self, key: &str) -> std::result::Result<(), String> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        setting.map_or(Ok(()), |setting| (setting.check)(self))
    }

    fn apply(&mut self, environment: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        // Sorting makes the error deterministic when several variables are wrong.
        let mut variables: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with("CAMLENS_")).collect();
        variables.sort();
        for (name, value) in variables {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable == name) else {
                if table::is_foreign(&name) {
                    continue;
                }
                return Err(setup(format!(
                    "{name}: unknown setting; the settings are {}",
                    table::variable_names()
                )));
            };
            (setting.set)(self, &value)
                .and_then(|()| (setting.check)(self))
                .map_err(|reason| setup(format!("{name} {reason}, not '{value}'")))?;
        }
        Ok(())
    }
}

/// The key of the value that starts at byte `position` of a TOML text.
fn key_before(text: &str, position: usize) -> Option<String> {
    let line = &text[text[..position].rfind('\n').map_or(0, |newline| newline + 1)..position];
    let (key, _) = line.split_once('=')?;
    Some(key.trim().to_owned())
}

/// The value of a key such as `server.queue` in a TOML text, if it is a text or a number.
fn value_of(text: &str, key: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let (section, key) = key.split_once('.')?;
    match table.get(section)?.get(key)? {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn setup(reason: String) -> Error {
    Error::new(Kind::Setup, reason)
}

#[cfg(test)]
mod tests;
