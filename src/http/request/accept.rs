//! `Accept`: the form of the answer that a client prefers when it names none.

use axum::http::HeaderValue;

use crate::http::options::{Endpoint, Output};

/// What a client prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Preferred {
    /// The form of the answer when no option names it.
    pub(super) output: Output,
    /// Whether the answer is to tell how it goes while it is made.
    pub(super) is_streamed: bool,
}

/// The form of an endpoint's answer for these headers. An `Accept` that asks for something that
/// there isn't is no reason to refuse: it gets what a client without one gets.
pub(super) fn preferred<'a>(
    endpoint: Endpoint,
    headers: impl IntoIterator<Item = &'a HeaderValue>,
) -> Preferred {
    let forms = Output::of(endpoint);
    let values: Vec<&str> = headers.into_iter().filter_map(|value| value.to_str().ok()).collect();
    let mut best = (0.0, Preferred { output: forms[0], is_streamed: false });
    for range in values.iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_streamed = media_type == "text/event-stream";
        let output = match media_type.as_str() {
            // A prediction is one pass: there is nothing to tell on the way.
            "text/event-stream" if endpoint == Endpoint::Predict => continue,
            "application/json" | "text/event-stream" => Output::Json,
            "application/x-npy" => Output::Npy,
            "*/*" | "image/*" | "image/png" => forms[0],
            _ => continue,
        };
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        // The first of equals: clients list what they like best first.
        if forms.contains(&output) && quality > best.0 {
            best = (quality, Preferred { output, is_streamed });
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(endpoint: Endpoint, accept: &'static str) -> Output {
        preferred(endpoint, [&HeaderValue::from_static(accept)]).output
    }

    #[test]
    fn the_best_that_is_understood_wins() {
        use Endpoint::{Compare, Explain, Predict};
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
    fn a_stream_is_for_what_takes_time() {
        let asked = |endpoint, accept| preferred(endpoint, [&HeaderValue::from_static(accept)]);
        let streamed = Preferred { output: Output::Json, is_streamed: true };
        for endpoint in [Endpoint::Explain, Endpoint::Compare] {
            assert_eq!(asked(endpoint, "text/event-stream"), streamed);
            assert_eq!(asked(endpoint, "application/json;q=0.5, text/event-stream"), streamed);
            assert!(!asked(endpoint, "application/json, text/event-stream;q=0.9").is_streamed);
        }
        assert!(!asked(Endpoint::Predict, "text/event-stream").is_streamed);
    }
}
