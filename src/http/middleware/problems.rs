//! Writes the body of every response that reports an error.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::extensions::ErrorExtension;
use crate::http::problem::{self, ProblemContext};

/// Writes a problem into a response that carries an error. The error stays for the log.
pub(super) async fn write_problems(request: Request, next: Next) -> Response {
    let context = ProblemContext::new(&request);
    let mut response = next.run(request).await;
    let error = response.extensions().get::<ErrorExtension>().cloned();
    if let Some(ErrorExtension(error)) = error {
        problem::write(&mut response, &error, &context);
    }
    response
}
