//! One row of the table of options, and how it parses a value.

use std::str::FromStr;

use super::syntax::ValueSyntax;
use super::values::OptionValues;
use crate::app::operation::Operation;
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::explain::Method;
use crate::text::shortened;

/// Everything about one option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The name in queries, forms, JSON, and with hyphens on the command line.
    pub name: &'static str,
    /// The operations that accept it.
    pub operations: &'static [Operation],
    /// What its value looks like.
    pub syntax: ValueSyntax,
    /// The placeholder for its value in the command line's help.
    pub metavar: &'static str,
    /// Its value when a request does not give it.
    pub default: DefaultValue,
    /// One line of help.
    pub summary: &'static str,
    /// The full description, in Markdown, as in `openapi.yaml`.
    pub description: &'static str,
    /// Parses a value into the option's slot.
    pub set: SetValue,
}

/// Parses a value into an option's slot.
pub type SetValue = fn(&OptionSpec, RawValue<'_>, &mut OptionValues) -> Result<()>;

/// A value as a client wrote it.
#[derive(Clone, Copy, Debug)]
pub struct RawValue<'a> {
    /// The text.
    pub text: &'a str,
    /// The operation it is for, which may restrict the values.
    pub operation: Operation,
}

/// The value of an option that a request does not give.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// Always this value.
    Value(&'static str),
    /// A value that other options decide.
    Computed {
        /// The value, given those set so far. The options before this one in the table are set.
        value: fn(&OptionValues) -> &'static str,
        /// The rule in words.
        text: &'static str,
    },
    /// The model, the convention or the edge decides; in words.
    Decided(&'static str),
    /// No value.
    None,
}

impl DefaultValue {
    /// The value to parse, unless something else decides.
    #[must_use]
    pub fn value(self, values: &OptionValues) -> Option<&'static str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Computed { value, .. } => Some(value(values)),
            Self::Decided(_) | Self::None => None,
        }
    }

    /// The default in words.
    #[must_use]
    pub const fn text(self) -> Option<&'static str> {
        match self {
            Self::Value(text) | Self::Computed { text, .. } | Self::Decided(text) => Some(text),
            Self::None => None,
        }
    }
}

impl OptionSpec {
    /// The name of its flag on the command line, without the two hyphens.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Whether a value may end in a plus sign, as `gradcam++` does.
    #[must_use]
    pub fn has_plus_signs(&self) -> bool {
        let (ValueSyntax::Choice(names) | ValueSyntax::ChoiceList(names)) = self.syntax else {
            return false;
        };
        names(self.operations[0]).iter().any(|name| name.ends_with('+'))
    }

    /// Whether the operations that accept it accept different values.
    #[must_use]
    pub fn varies(&self) -> bool {
        let mut expected = self.operations.iter().map(|operation| self.syntax.expected(*operation));
        let first = expected.next();
        expected.any(|other| Some(other) != first)
    }

    /// Parses a value into the option's slot.
    ///
    /// # Errors
    /// [`Kind::Option`] for an invalid value, or one that differs from the value set before.
    pub fn parse(&self, raw: RawValue<'_>, values: &mut OptionValues) -> Result<()> {
        (self.set)(self, raw, values)
    }

    /// Fills a slot. Giving the same value twice is fine.
    pub(super) fn store<T: PartialEq>(&self, value: T, slot: &mut Option<T>) -> Result<()> {
        if slot.as_ref().is_some_and(|known| *known != value) {
            let name = self.name;
            return Err(self.invalid(format!(
                "option '{name}' is given twice, with different values; give one"
            )));
        }
        *slot = Some(value);
        Ok(())
    }

    pub(super) fn text(&self, raw: RawValue<'_>) -> Result<String> {
        if raw.text.is_empty() {
            let name = self.name;
            return Err(
                self.invalid(format!("option '{name}' is empty; leave it out for the default"))
            );
        }
        Ok(raw.text.to_owned())
    }

    pub(super) fn choice<T: Choice + PartialEq>(&self, raw: RawValue<'_>) -> Result<T> {
        let ValueSyntax::Choice(names) = self.syntax else { return Err(self.mismatched()) };
        let accepted = |value: &T| names(raw.operation).contains(&value.name());
        T::from_name(raw.text).filter(accepted).ok_or_else(|| self.refuse(raw))
    }

    pub(super) fn methods(&self, raw: RawValue<'_>) -> Result<Vec<Method>> {
        let mut methods: Vec<Method> = Vec::new();
        for name in raw.text.split(',') {
            let method = Method::from_name(name).ok_or_else(|| {
                let expected = self.syntax.expected(raw.operation);
                let (option, name) = (self.name, shortened(name));
                self.invalid(format!("option '{option}' can't name '{name}'; it takes {expected}"))
            })?;
            if methods.contains(&method) {
                let option = self.name;
                return Err(self.invalid(format!("option '{option}' names {method} twice")));
            }
            methods.push(method);
        }
        Ok(methods)
    }

    pub(super) fn boolean(&self, raw: RawValue<'_>) -> Result<bool> {
        match raw.text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.refuse(raw)),
        }
    }

    pub(super) fn integer<T: FromStr>(&self, raw: RawValue<'_>) -> Result<T> {
        let ValueSyntax::Integer { min, max } = self.syntax else { return Err(self.mismatched()) };
        let is_valid = |value: &u64| *value >= min && max.is_none_or(|max| *value <= max);
        // JSON's numbers have no upper end; where the option has none, either, one of more digits
        // counts as the largest.
        let is_huge = raw.text.len() > 19 && raw.text.bytes().all(|byte| byte.is_ascii_digit());
        let largest = u64::MAX.to_string();
        let text = match raw.text.parse::<u64>() {
            Err(_) if is_huge => largest.as_str(),
            _ => raw.text,
        };
        let is_valid = text.parse().ok().filter(is_valid).is_some();
        text.parse().ok().filter(|_| is_valid).ok_or_else(|| self.refuse(raw))
    }

    pub(super) fn number(&self, raw: RawValue<'_>) -> Result<f32> {
        let ValueSyntax::Number { min, max, is_exclusive } = self.syntax else {
            return Err(self.mismatched());
        };
        // In 64 bits, as JSON's numbers are. Both comparisons are false for NaN.
        let (lower, upper) = (f64::from(min), f64::from(max));
        let is_valid = |value: &f64| match is_exclusive {
            true => *value > lower && *value < upper,
            false => (lower..=upper).contains(value),
        };
        let value = raw.text.parse().ok().filter(is_valid).ok_or_else(|| self.refuse(raw))?;
        // A valid number just beside an excluded bound would round to it.
        let (lower, upper) =
            if is_exclusive { (min.next_up(), max.next_down()) } else { (min, max) };
        Ok((value as f32).clamp(lower, upper))
    }

    /// The error for an invalid value.
    fn refuse(&self, RawValue { text, operation }: RawValue<'_>) -> Error {
        let (name, expected) = (self.name, self.syntax.expected(operation));
        let text = shortened(text);
        let here = if self.varies() { " here" } else { "" };
        self.invalid(format!("option '{name}' can't be '{text}'{here}; it takes {expected}"))
    }

    fn invalid(&self, detail: String) -> Error {
        Error::new(Kind::Option, detail).about(self.name)
    }

    /// The error for a row whose parser does not fit its syntax. It cannot occur in practice: a
    /// test parses a value for every row.
    fn mismatched(&self) -> Error {
        Error::internal("parsing an option", format!("'{}' has another syntax", self.name))
    }
}
