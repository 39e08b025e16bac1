//! The error that constructors and kernels return for arguments that do not fit together.

use std::fmt;

/// Arguments that do not fit together: a slice whose length contradicts its shape, a channel
/// count that does not match, a stride of zero, an expression that reads a later step.
///
/// The message names the mismatch. It is meant for the developer of the calling code, not for end
/// users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArgument(String);

impl InvalidArgument {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for InvalidArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidArgument {}

impl From<InvalidArgument> for String {
    fn from(error: InvalidArgument) -> Self {
        error.0
    }
}
