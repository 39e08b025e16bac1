//! `Accept`: the form of response that a client prefers if no option names one.

use axum::http::HeaderValue;

use crate::app::Operation;
use crate::app::options::Output;

/// What a client prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::http) struct Preferred {
    /// The form of the response if no option names one.
    pub(in crate::http) output: Output,
    /// Whether progress is streamed as events.
    pub(in crate::http) is_streamed: bool,
}

/// The preferred form of an operation's response. An `Accept` that lists nothing available is
/// treated like a missing one, not refused.
pub(in crate::http) fn preferred<'a>(
    operation: Operation,
    headers: impl IntoIterator<Item = &'a HeaderValue>,
) -> Preferred {
    let forms = Output::for_operation(operation);
    let values: Vec<&str> = headers.into_iter().filter_map(|value| value.to_str().ok()).collect();
    let mut best = (0.0, Preferred { output: forms[0], is_streamed: false });
    for range in values.iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_streamed = media_type == "text/event-stream";
        let output = match media_type.as_str() {
            // A prediction is one pass: it has no progress to stream.
            "text/event-stream" if operation == Operation::Predict => continue,
            "application/json" | "text/event-stream" => Output::Json,
            "application/x-npy" => Output::Npy,
            "*/*" | "image/*" | "image/png" => forms[0],
            _ => continue,
        };
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        // Of several types with equal quality the first wins: clients list what they prefer first.
        if forms.contains(&output) && quality > best.0 {
            best = (quality, Preferred { output, is_streamed });
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(operation: Operation, accept: &'static str) -> Output {
        preferred(operation, [&HeaderValue::from_static(accept)]).output
    }

    #[test]
    fn the_supported_type_with_the_highest_quality_wins() {
        use Operation::{Compare, Explain, Predict};
        assert_eq!(
            preferred(Explain, []),
            Preferred { output: Output::Overlay, is_streamed: false }
        );
        assert_eq!(form(Explain, "*/*"), Output::Overlay);
        assert_eq!(form(Explain, "application/json, text/plain, */*"), Output::Json);
        assert_eq!(form(Explain, "image/png;q=0.5, Application/JSON; q=0.9"), Output::Json);
        assert_eq!(form(Explain, "application/x-npy"), Output::Npy);
        assert_eq!(form(Explain, "application/json;q=0, image/*"), Output::Overlay);
        assert_eq!(form(Explain, "text/html"), Output::Overlay);
        assert_eq!(form(Explain, "text/plain, application/json"), Output::Json);
        assert_eq!(form(Compare, "application/x-npy"), Output::Figure);
        assert_eq!(form(Compare, "application/json"), Output::Json);
        assert_eq!(form(Predict, "image/png"), Output::Json);
    }

    #[test]
    fn only_operations_with_progress_are_streamed() {
        let preferred =
            |operation, accept| preferred(operation, [&HeaderValue::from_static(accept)]);
        let streamed = Preferred { output: Output::Json, is_streamed: true };
        for operation in [Operation::Explain, Operation::Compare] {
            assert_eq!(preferred(operation, "text/event-stream"), streamed);
            assert_eq!(preferred(operation, "application/json;q=0.5, text/event-stream"), streamed);
            assert!(!preferred(operation, "application/json, text/event-stream;q=0.9").is_streamed);
        }
        assert!(!preferred(Operation::Predict, "text/event-stream").is_streamed);
    }
}
