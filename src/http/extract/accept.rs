//! `Accept`: the form of response that a client prefers if no option names one.

use axum::http::HeaderValue;

use crate::app::Operation;
use crate::app::options::{Output, Preference};
use crate::picture::encode::Format;

/// What a client prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::http) struct Preferred {
    /// The form and file format of the response if no option names them.
    pub(in crate::http) form: Preference,
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
    let mut best = (0.0, Preferred { form: forms[0].into(), is_streamed: false });
    for range in values.iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_streamed = media_type == "text/event-stream";
        let picture = |format| Preference { output: forms[0], format };
        let form = match media_type.as_str() {
            // A prediction is one pass: it has no progress to stream.
            "text/event-stream" if operation == Operation::Predict => continue,
            "application/json" | "text/event-stream" => Output::Json.into(),
            "application/x-npy" => Output::Npy.into(),
            "*/*" | "image/*" | "image/png" => picture(Format::Png),
            "image/jpeg" => picture(Format::Jpeg),
            "image/webp" => picture(Format::Webp),
            // Only figures can be SVG.
            "image/svg+xml" if operation == Operation::Compare => picture(Format::Svg),
            _ => continue,
        };
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        // Of several types with equal quality the first wins: clients list what they prefer first.
        if forms.contains(&form.output) && quality > best.0 {
            best = (quality, Preferred { form, is_streamed });
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(operation: Operation, accept: &'static str) -> Output {
        preferred(operation, [&HeaderValue::from_static(accept)]).form.output
    }

    #[test]
    fn a_picture_has_the_format_that_is_accepted() {
        use Operation::{Compare, Explain};
        let format = |operation, accept| {
            preferred(operation, [&HeaderValue::from_static(accept)]).form.format
        };
        assert_eq!(format(Explain, "image/webp, image/jpeg;q=0.9"), Format::Webp);
        assert_eq!(format(Explain, "image/webp;q=0.2, image/jpeg"), Format::Jpeg);
        assert_eq!(format(Explain, "image/*"), Format::Png);
        assert_eq!(format(Explain, "image/svg+xml, image/jpeg;q=0.1"), Format::Jpeg);
        assert_eq!(format(Compare, "image/svg+xml, image/jpeg;q=0.1"), Format::Svg);
        assert_eq!(form(Compare, "image/svg+xml"), Output::Figure);
        assert_eq!(form(Operation::Predict, "image/jpeg"), Output::Json);
    }

    #[test]
    fn the_supported_type_with_the_highest_quality_wins() {
        use Operation::{Compare, Explain, Predict};
        assert_eq!(
            preferred(Explain, []),
            Preferred { form: Output::Overlay.into(), is_streamed: false }
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
        let streamed = Preferred { form: Output::Json.into(), is_streamed: true };
        for operation in [Operation::Explain, Operation::Compare] {
            assert_eq!(preferred(operation, "text/event-stream"), streamed);
            assert_eq!(preferred(operation, "application/json;q=0.5, text/event-stream"), streamed);
            assert!(!preferred(operation, "application/json, text/event-stream;q=0.9").is_streamed);
        }
        assert!(!preferred(Operation::Predict, "text/event-stream").is_streamed);
    }
}
