//! Writes the body of every response that reports an error.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::extensions::ErrorExtension;
use crate::http::page;
use crate::http::problem::{self, ProblemContext};
use crate::http::protocols::errors;
use crate::http::state::AppState;

/// Writes a problem into a response that carries an error, or what the path's protocol has
/// instead, or a page for a browser that opens an address. The error stays for the log.
pub(super) async fn write_problems(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let context = ProblemContext::new(&request);
    let form = errors::form(request.uri().path(), &state.server);
    let is_navigation = form.is_none() && page::is_navigation(&request);
    let mut response = next.run(request).await;
    let error = response.extensions().get::<ErrorExtension>().cloned();
    if let Some(ErrorExtension(error)) = error {
        problem::write(&mut response, &error, &context);
        if let Some(form) = form {
            errors::write(&mut response, &error, form, &context);
        } else if is_navigation {
            let title = problem::problem_type(error.kind()).title;
            let detail = problem::detail(&error).unwrap_or_default();
            page::write_problem(&mut response, title, &sentence(&detail), context.request_id());
        }
    }
    response
}

/// A message as a sentence, for people.
fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let Some(first) = letters.next() else { return String::new() };
    let end = if detail.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), letters.as_str())
}
