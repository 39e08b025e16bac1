//! The headers of responses that programs read: one list for the code that writes them and for
//! CORS, which hides every header from scripts of other origins that is not listed.

pub(super) const MODEL: &str = "camlens-model";
pub(super) const METHOD: &str = "camlens-method";
pub(super) const LAYER: &str = "camlens-layer";
pub(super) const TARGET: &str = "camlens-target";
pub(super) const PROBABILITY: &str = "camlens-probability";
pub(super) const VALUE: &str = "camlens-value";
pub(super) const WARNINGS: &str = "camlens-warnings";
pub(super) const CONTRAST: &str = "camlens-contrast";
pub(super) const NEGATE: &str = "camlens-negate";
pub(super) const SIGNED: &str = "camlens-signed";
pub(super) const EMPTY: &str = "camlens-empty";
pub(super) const CORRELATION: &str = "camlens-correlation";
pub(super) const GRADIENT: &str = "camlens-gradient";
pub(super) const SERVER_TIMING: &str = "server-timing";
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The length of the JSON before binary tensors.
pub(super) const INFERENCE_LENGTH: &str = "inference-header-content-length";
/// SageMaker passes on no other header of ours.
pub(super) const SAGEMAKER_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";

/// The headers that a response with a map can have.
pub(super) const FACTS: [&str; 14] = [
    MODEL,
    METHOD,
    LAYER,
    TARGET,
    PROBABILITY,
    VALUE,
    WARNINGS,
    CONTRAST,
    NEGATE,
    SIGNED,
    EMPTY,
    CORRELATION,
    GRADIENT,
    SERVER_TIMING,
];

/// The others. `content-type` and a few more need no permission.
const OTHERS: [&str; 8] = [
    REQUEST_ID,
    "retry-after",
    "allow",
    "www-authenticate",
    "accept-encoding",
    "etag",
    INFERENCE_LENGTH,
    SAGEMAKER_ATTRIBUTES,
];

/// Every header that a script of another origin may read.
pub fn exposed() -> impl Iterator<Item = &'static str> {
    FACTS.into_iter().chain(OTHERS)
}
