//! Refuses requests whose head the connection found to be wrong.
//!
//! The connection sees what the router does not, such as how a head was sent; the refusal is made
//! here, so that it is a problem with an id, a line in the log and a count like any other.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Error;
use crate::http::extensions::InvalidHead;

pub(super) async fn refuse(request: Request, next: Next) -> Response {
    match request.extensions().get::<InvalidHead>() {
        None => next.run(request).await,
        Some(InvalidHead(error)) => {
            Error::new(error.kind(), error.detail().to_owned()).into_response()
        }
    }
}
