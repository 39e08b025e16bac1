//! What the value of an option looks like.

use crate::app::operation::Operation;
use crate::explain::Choice;

/// The syntax of an option's value.
#[derive(Clone, Copy, Debug)]
pub enum ValueSyntax {
    /// Text that is not empty.
    Text,
    /// Names separated by commas; the model knows which names there are.
    List {
        /// The largest number of names that an operation accepts.
        max_items: fn(Operation) -> usize,
    },
    /// One of these names.
    Choice(Names),
    /// Some of these names, separated by commas.
    ChoiceList(Names),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: Option<u64>,
    },
    /// A number.
    Number {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
        /// Whether the bounds themselves are excluded.
        is_exclusive: bool,
    },
}

/// The names that an operation accepts.
pub type Names = fn(Operation) -> Vec<&'static str>;

/// Every name of a closed set of values.
#[must_use]
pub fn names<T: Choice>(_: Operation) -> Vec<&'static str> {
    T::CHOICES.iter().map(|(name, _)| *name).collect()
}

impl ValueSyntax {
    /// Whether the value may also be a JSON list.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(self, Self::List { .. } | Self::ChoiceList(_))
    }

    /// What a valid value is, as the end of the sentence "it takes …".
    #[must_use]
    pub fn expected(self, operation: Operation) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::List { max_items } => match max_items(operation) {
                1 => "one name".to_owned(),
                several => format!("up to {several} names, separated by commas"),
            },
            Self::Choice(names) => names(operation).join(", "),
            Self::ChoiceList(names) => {
                format!("{}, separated by commas", names(operation).join(", "))
            }
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max: None } => format!("a whole number from {min}"),
            Self::Integer { min, max: Some(max) } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max, is_exclusive: false } => {
                format!("a number from {min} to {max}")
            }
            Self::Number { min, max, is_exclusive: true } => {
                format!("a number between {min} and {max}")
            }
        }
    }
}
