//! Admission: what a request needs before it is worked on, in this order:
//! 1. an [`upload::Upload`], while its body arrives: bytes of the budget for bodies, as they come,
//!    and a minimum rate;
//! 2. a place in the queue ([`permit::Permit`]), once the body is complete;
//! 3. memory for its image, tensors and response ([`budget`]), until the response has been sent;
//! 4. a worker of its lane: small, large or long.
//!
//! So a slow body takes nothing that another request waits for, and neither does a response that
//! its client is slow to take: small requests have memory, places and workers of their own. A queue
//! that is full when a head arrives refuses at once, with the rest of the body discarded so that
//! the client reads the refusal.

pub mod budget;
pub mod forecast;
pub mod held;
pub mod permit;
pub mod pool;
pub mod queue;
pub mod upload;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::upload::Upload;
use crate::error::Error;
use crate::http::extract::body::discard;
use crate::http::state::AppState;

/// An upload on its way to the handler, which takes it. Extensions must be `Clone`, an upload is
/// not.
#[derive(Clone)]
struct Admitted(Arc<Mutex<Option<Upload>>>);

/// Lets the request be read, or refuses it.
pub(in crate::http) async fn admit(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    match state.admission.begin() {
        Ok(upload) => {
            request = upload.measured(request);
            let admitted = Admitted(Arc::new(Mutex::new(Some(upload))));
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(body, &parts.headers, state.server.body_bytes);
            refusal.into_response()
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upload {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let admitted = parts.extensions.remove::<Admitted>();
        let take = |Admitted(upload): Admitted| {
            upload.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        admitted
            .and_then(take)
            .ok_or_else(|| Error::internal("taking an upload", "the route has no admission layer"))
    }
}
