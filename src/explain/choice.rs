//! Closed sets of values that have names, such as methods and conventions.

/// A value of a closed set, each with a name that requests and responses use.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every value with its name; the first is the default.
    const CHOICES: &'static [(&'static str, Self)];

    /// The value with this name, ignoring ASCII case.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        let is_match = |(known, _): &&(&str, Self)| known.eq_ignore_ascii_case(name);
        Self::CHOICES.iter().find(is_match).map(|(_, value)| *value)
    }

    /// The value's canonical name.
    #[must_use]
    fn name(self) -> &'static str {
        Self::CHOICES.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }
}
