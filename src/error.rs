//! Everything that can go wrong with a request, and what a client is told.
//!
//! [`Error`] is the one error type of the crate; [`Kind`] names its cases and
//! [`Kind::row`] is the only place that says which HTTP status and problem type
//! each of them is. The edge turns an `Error` into RFC 9457
//! `application/problem+json`; the command line prints it as one line.
//!
//! The text of an error is written for the person who sent the request: it
//! names what was wrong and what would be right. What only we should see travels beside the text:
//! a fault in the runtime as the `source`, a path on disk as [`Error::path`]. Both are logged. The
//! command line prints the path before the text; the HTTP edge decides how much of it to send.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A case of the contract's error table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request could not be read: malformed multipart, JSON, base64, header.
    Malformed,
    /// An option that is unknown, has an impossible value, or is given twice with different ones.
    Option,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// No model of that name.
    UnknownModel,
    /// The body is over the limit.
    BodyTooLarge,
    /// The image claims more pixels than the limit; told before it is decoded.
    ImageTooLarge,
    /// Not an image, or of a format that is not accepted.
    UnsupportedImage,
    /// An image of an accepted format that is truncated or corrupt.
    CorruptImage,
    /// The model has no such class.
    UnknownClass,
    /// The model has no such layer, or it has no map to show.
    UnknownLayer,
    /// The method, score or convention cannot be had from this model.
    Impossible,
    /// The model's answer is not a number.
    NotANumber,
    /// The queue is full.
    Busy,
    /// The service is shutting down.
    Draining,
    /// The model is still loading, or failed to load.
    NotReady,
    /// The time allowed for the request is over.
    Deadline,
    /// The client went away; nobody reads the answer.
    Cancelled,
    /// A setting, a model folder or the runtime is wrong: found at start, never by a request.
    Setup,
    /// A fault of ours.
    Internal,
}

/// How one [`Kind`] looks from outside.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// HTTP status code.
    pub status: u16,
    /// The last part of the problem's `type`, stable for programs.
    pub slug: &'static str,
    /// The problem's `title`, the same for every problem of the type.
    pub title: &'static str,
}

impl Kind {
    /// Every kind that a request can meet, in the order of the table.
    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::Option,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UnknownModel,
        Self::BodyTooLarge,
        Self::ImageTooLarge,
        Self::UnsupportedImage,
        Self::CorruptImage,
        Self::UnknownClass,
        Self::UnknownLayer,
        Self::Impossible,
        Self::NotANumber,
        Self::Busy,
        Self::Draining,
        Self::NotReady,
        Self::Deadline,
        Self::Cancelled,
        Self::Setup,
        Self::Internal,
    ];

    /// The table of statuses, problem types and titles.
    #[must_use]
    pub const fn row(self) -> Row {
        let (status, slug, title) = match self {
            Self::Malformed => (400, "malformed-request", "The request could not be read"),
            Self::Option => (400, "invalid-option", "An option is not valid"),
            Self::NotFound => (404, "not-found", "There is nothing at this path"),
            Self::MethodNotAllowed => {
                (405, "method-not-allowed", "The path does not take this method")
            }
            Self::UnknownModel => (404, "unknown-model", "There is no such model"),
            Self::BodyTooLarge => (413, "body-too-large", "The request body is too large"),
            Self::ImageTooLarge => (413, "image-too-large", "The image has too many pixels"),
            Self::UnsupportedImage => (415, "unsupported-image", "The image type is not accepted"),
            Self::CorruptImage => (422, "corrupt-image", "The image could not be decoded"),
            Self::UnknownClass => (422, "unknown-class", "The model has no such class"),
            Self::UnknownLayer => (422, "unknown-layer", "The model has no such layer"),
            Self::Impossible => (422, "impossible", "The model does not allow this explanation"),
            Self::NotANumber => (422, "not-a-number", "The model's answer is not a number"),
            Self::Busy => (503, "busy", "The service is busy"),
            Self::Draining => (503, "draining", "The service is shutting down"),
            Self::NotReady => (503, "not-ready", "The model is not ready"),
            Self::Deadline => (504, "deadline", "The request took too long"),
            Self::Cancelled => (499, "cancelled", "The client went away"),
            Self::Setup => (500, "setup", "The service is not set up correctly"),
            Self::Internal => (500, "internal", "Something went wrong on our side"),
        };
        Row { status, slug, title }
    }
}

/// What went wrong, for the person who asked.
pub struct Error {
    kind: Kind,
    detail: Cow<'static, str>,
    path: Option<PathBuf>,
    option: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with the words that the client will read.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), path: None, option: None, source: None }
    }

    /// A fault of ours: `doing` and the cause are for the log, the client reads only the title.
    pub fn internal(
        doing: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind: Kind::Internal,
            detail: doing.into(),
            path: None,
            option: None,
            source: Some(source.into()),
        }
    }

    /// The same error with its cause, which is logged but never sent.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with the file or folder that it is about. The text must not repeat it.
    #[must_use]
    pub fn at_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The file or folder on disk that the error is about, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The same error with the option that is at fault.
    #[must_use]
    pub fn about(mut self, option: impl Into<String>) -> Self {
        self.option = Some(option.into());
        self
    }

    /// The option that is at fault, where one is.
    #[must_use]
    pub fn option(&self) -> Option<&str> {
        self.option.as_deref()
    }

    /// The case of the table.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The words for the person who asked, without [`Self::path`]. For [`Kind::Internal`] they are
    /// for the log alone.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(&self.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn problem_types_are_distinct() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.row().slug).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn debug_shows_the_chain_of_causes_and_display_does_not() {
        let error = Error::new(Kind::Setup, "no model").caused_by("the disk is on fire");
        assert_eq!(error.to_string(), "no model");
        assert_eq!(format!("{error:?}"), "Setup: no model: the disk is on fire");
    }

    #[test]
    fn display_shows_the_path_and_detail_does_not() {
        let error = Error::new(Kind::Setup, "no such file").at_path("models/mine/model.onnx");
        assert_eq!(error.to_string(), "models/mine/model.onnx: no such file");
        assert_eq!(format!("{error:?}"), "Setup: models/mine/model.onnx: no such file");
        assert_eq!(error.detail(), "no such file");
        assert_eq!(error.path(), Some(Path::new("models/mine/model.onnx")));
    }
}
