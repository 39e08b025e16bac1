//! `GET /metrics`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::error::Result;
use crate::http::state::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// Metrics in Prometheus' text format.
pub(in crate::http) async fn metrics(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
) -> Result<Response> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let text = state.metrics.text(&state.models, &state.admission)?;
    let (content_type, text) = if accept.contains(OPEN_METRICS) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", older_format(&text))
    };
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

/// OpenMetrics in Prometheus' older text format, which has no units, information metrics or end
/// mark, and names a counter like its samples: with `_total`.
fn older_format(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        let words = |prefix| line.strip_prefix(prefix).and_then(|rest: &str| rest.split_once(' '));
        if let Some(of) = words("# HELP ") {
            // A family's help stands before its type, which decides its name.
            help = Some(of);
        } else if let Some((name, kind)) = words("# TYPE ") {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take() {
                let _ = writeln!(lines, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(lines, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::older_format;

    #[test]
    fn the_older_format_names_counters_like_their_samples() {
        let open_metrics = "# HELP a_requests Requests.\n# TYPE a_requests counter\n\
                            a_requests_total{x=\"1\"} 2\n\
                            # HELP a_build Version.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n\
                            # HELP a_time_seconds Time.\n# TYPE a_time_seconds gauge\n\
                            # UNIT a_time_seconds seconds\na_time_seconds 3\n# EOF\n";
        let older = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n\
                     a_requests_total{x=\"1\"} 2\n\
                     # HELP a_build_info Version.\n# TYPE a_build_info gauge\n\
                     a_build_info{v=\"1\"} 1\n\
                     # HELP a_time_seconds Time.\n# TYPE a_time_seconds gauge\n\
                     a_time_seconds 3\n";
        assert_eq!(older_format(open_metrics), older);
    }
}
