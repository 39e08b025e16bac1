//! Rewords errors of `onnx-gradient` in terms of scores and layers.

use onnx_gradient::Error;

/// A gradient error as a sentence about a score and a layer.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Unreachable { tensor, .. } => format!(
            "the score does not depend on '{tensor}', or only through operators that have no \
             derivative, such as rounding"
        ),
        Error::NoGradient { tensor, .. } => {
            format!("no gradient flows from the score to '{tensor}'")
        }
        Error::NoVjpForInput { .. } => format!("{error}, which depends on the layer"),
        _ => error.to_string(),
    }
}
