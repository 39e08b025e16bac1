//! The crate's error type: a message for the person who sent the request, and details for the
//! operator.
//!
//! [`Kind`] names the cases. The HTTP edge has a status and a problem type for each, the command
//! line prints one line and sets the exit code.
//!
//! The text of an error is written for the person who sent the request: it says what is wrong and
//! what is accepted instead. Details for the operator alone are stored separately: the underlying
//! error as the `source`, a path on disk as [`Error::path`]. Both are logged. The command line
//! prints the path before the text; the HTTP edge decides how much of it to send.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::{cut, shortened};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request can't be read: malformed multipart, JSON, base64 or header.
    Malformed,
    /// An option that is unknown, invalid, or given twice with different values.
    Option,
    /// No such path.
    NotFound,
    /// The request has no valid API key, and this service asks for one.
    Unauthorized,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// No model with this name.
    UnknownModel,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The image declares more pixels than the limit; checked before it is decoded.
    ImageTooLarge,
    /// The body is compressed (`Content-Encoding`).
    UnsupportedEncoding,
    /// Not an image, or not of an accepted format.
    UnsupportedImage,
    /// An image of an accepted format that is truncated or corrupt.
    CorruptImage,
    /// The model has no such class.
    UnknownClass,
    /// The model has no such layer, or the layer has no map.
    UnknownLayer,
    /// The model does not support this method, score or convention.
    Impossible,
    /// The model's output is NaN or infinite.
    NotANumber,
    /// The head of the request is too large.
    HeadTooLarge,
    /// The path and query are too long.
    UriTooLong,
    /// The request expects (`Expect`) what HTTP does not define.
    UnknownExpectation,
    /// The request needs more memory than the service ever has.
    OverBudget,
    /// The queue is full.
    Busy,
    /// The service is shutting down.
    Draining,
    /// The model is still loading.
    NotReady,
    /// The model failed to load, and will not load by waiting.
    ModelFailed,
    /// The client sent its request too slowly.
    SlowRequest,
    /// The request's time limit has passed.
    Deadline,
    /// The client disconnected; nobody reads the response.
    Cancelled,
    /// A setting, a model folder or the runtime is wrong: found at start, never by a request.
    Setup,
    /// An internal error: a bug in camlens or a failure of its environment.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 28] = [
        Self::Malformed,
        Self::Option,
        Self::NotFound,
        Self::Unauthorized,
        Self::MethodNotAllowed,
        Self::UnknownModel,
        Self::BodyTooLarge,
        Self::ImageTooLarge,
        Self::UnsupportedEncoding,
        Self::UnsupportedImage,
        Self::CorruptImage,
        Self::UnknownClass,
        Self::UnknownLayer,
        Self::Impossible,
        Self::NotANumber,
        Self::HeadTooLarge,
        Self::UriTooLong,
        Self::UnknownExpectation,
        Self::OverBudget,
        Self::Busy,
        Self::Draining,
        Self::NotReady,
        Self::ModelFailed,
        Self::SlowRequest,
        Self::Deadline,
        Self::Cancelled,
        Self::Setup,
        Self::Internal,
    ];

    /// Its name for programs, which never changes: the last part of a problem's `type` over HTTP, and
    /// the `type` in a record of `camlens batch`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::Option => "invalid-option",
            Self::NotFound => "not-found",
            Self::Unauthorized => "unauthorized",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::UnknownModel => "unknown-model",
            Self::BodyTooLarge => "body-too-large",
            Self::ImageTooLarge => "image-too-large",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::UnsupportedImage => "unsupported-image",
            Self::CorruptImage => "corrupt-image",
            Self::UnknownClass => "unknown-class",
            Self::UnknownLayer => "unknown-layer",
            Self::Impossible => "impossible",
            Self::NotANumber => "not-a-number",
            Self::HeadTooLarge => "head-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::UnknownExpectation => "unknown-expectation",
            Self::OverBudget => "over-budget",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::NotReady => "not-ready",
            Self::ModelFailed => "model-failed",
            Self::SlowRequest => "slow-request",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Setup => "setup",
            Self::Internal => "internal",
        }
    }
}

/// At most this many characters of a message are kept. What a client sent is shortened where it is
/// quoted; this is for what was forgotten there.
const MAX_DETAIL: usize = 4000;

/// What went wrong, with a message for the person who sent the request.
pub struct Error {
    kind: Kind,
    detail: Cow<'static, str>,
    path: Option<PathBuf>,
    // Boxed: a result must not be larger for the sake of its rarest error.
    link_target: Option<Box<PathBuf>>,
    option: Option<Box<str>>,
    model: Option<String>,
    retry_after_s: Option<u16>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with the message that the client will receive. A message that is too long, because
    /// it repeats what a client sent, is shortened.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut detail = detail.into();
        if let Cow::Owned(short) = cut(&detail, MAX_DETAIL) {
            detail = Cow::Owned(short);
        }
        Self {
            kind,
            detail,
            path: None,
            link_target: None,
            option: None,
            model: None,
            retry_after_s: None,
            source: None,
        }
    }

    /// An internal error. `doing` and the cause are for the log; the client receives only the
    /// title.
    pub fn internal(
        doing: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(Kind::Internal, doing).caused_by(source)
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

    /// The same error with where the symbolic link at [`Self::path`] leads. Like the path, it is
    /// shown to the operator alone.
    #[must_use]
    pub fn at_link_to(mut self, target: impl Into<PathBuf>) -> Self {
        self.link_target = Some(Box::new(target.into()));
        self
    }

    /// Where the link at [`Self::path`] leads, if the error is about that.
    #[must_use]
    pub fn link_target(&self) -> Option<&Path> {
        self.link_target.as_deref().map(PathBuf::as_path)
    }

    /// The file or folder on disk that the error is about, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The same error with the option that is at fault.
    #[must_use]
    pub fn about(mut self, option: impl Into<String>) -> Self {
        let option = option.into();
        self.option = Some(shortened(&option).into());
        self
    }

    /// The option that is at fault, where one is.
    #[must_use]
    pub fn option(&self) -> Option<&str> {
        self.option.as_deref()
    }

    /// The same error with the id of the model that it is about, for an edge to say where to look
    /// it up.
    #[must_use]
    pub fn in_model(mut self, id: impl Into<String>) -> Self {
        self.model = Some(id.into());
        self
    }

    /// The id of the model that the error is about, where an edge can help with it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The same error with the number of seconds after which it is worth trying again.
    #[must_use]
    pub const fn retry_after_s(mut self, seconds: u16) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// After how many seconds it is worth trying again, where that is known.
    #[must_use]
    pub const fn retry_s(&self) -> Option<u16> {
        self.retry_after_s
    }

    /// The same error with words in front of its message that say which part of a request it is
    /// about.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl fmt::Display) -> Self {
        self.detail = format!("{prefix}: {}", self.detail).into();
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The message for the person who sent the request, without [`Self::path`]. For
    /// [`Kind::Internal`] it is for the log alone.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}", path.display())?;
            if let Some(target) = &self.link_target {
                write!(f, " -> {}", target.display())?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            write!(f, ": {}", shortened(&inner.to_string()))?;
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
        let error = error.at_link_to("../gone");
        assert_eq!(error.to_string(), "models/mine/model.onnx -> ../gone: no such file");
        assert_eq!(error.path(), Some(Path::new("models/mine/model.onnx")));
    }

    #[test]
    fn a_message_and_an_option_s_name_have_a_largest_length() {
        let error = Error::new(Kind::Option, "x".repeat(1 << 20)).about("y".repeat(1 << 20));
        assert_eq!(error.detail(), "x".repeat(MAX_DETAIL) + "…");
        assert_eq!(error.option().map(|name| name.chars().count()), Some(501));
    }
}
