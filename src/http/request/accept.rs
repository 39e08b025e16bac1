//! `Accept`: the form of the answer that a client prefers when it names none.

use axum::http::HeaderValue;

use crate::http::options::{Endpoint, Output};

/// The form of an endpoint's answer for these headers. An `Accept` that asks for something that
/// there isn't is no reason to refuse: it gets what a client without one gets.
pub(super) fn preferred<'a>(
    endpoint: Endpoint,
    headers: impl IntoIterator<Item = &'a HeaderValue>,
) -> Output {
    let forms = Output::of(endpoint);
    let values: Vec<&str> = headers.into_iter().filter_map(|value| value.to_str().ok()).collect();
    let mut best = (0.0, forms[0]);
    for range in values.iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json" => Output::Json,
            "application/x-npy" => Output::Npy,
            "*/*" | "image/*" | "image/png" => forms[0],
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        // The first of equals: clients list what they like best first.
        if forms.contains(&form) && quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(endpoint: Endpoint, accept: &'static str) -> Output {
        preferred(endpoint, [&HeaderValue::from_static(accept)])
    }

    #[test]
    fn the_best_that_is_understood_wins() {
        use Endpoint::{Compare, Explain, Predict};
        assert_eq!(preferred(Explain, []), Output::Overlay);
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
}
