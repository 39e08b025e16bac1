//! The layers around the handlers, one per file.
//!
//! From the outside in: `request_id`, `security_headers`, `observe` (log and metrics), `problems`
//! (bodies of errors), `invalid_head`, `cors`, `keys` (if there are any), `catch_panic`; around the
//! handlers that run a model also [`admission`]. Two limits are not layers. The body is limited
//! while it is read, after the query has been checked (`http/extract/body.rs`); the deadline belongs
//! to the permit, which outlives the handler.

pub mod admission;
mod catch_panic;
mod cors;
mod invalid_head;
pub mod keys;
mod observe;
pub(super) mod problems;
mod request_id;
pub(super) mod request_span;
mod security_headers;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};

use super::state::AppState;

/// Wraps all routes in the layers that every request passes.
pub(super) fn apply(router: Router<Arc<AppState>>, state: &Arc<AppState>) -> Router<Arc<AppState>> {
    // Each layer wraps those before it.
    let mut router = router.layer(catch_panic::layer());
    if state.keys.is_some() {
        router = router.layer(from_fn_with_state(Arc::clone(state), keys::check));
    }
    // The layer answers every OPTIONS request itself, so it is added only where origins are
    // configured.
    if !state.server.cors_origins.is_empty() {
        router = router.layer(cors::layer(&state.server.cors_origins));
    }
    router
        .layer(from_fn(invalid_head::refuse))
        .layer(from_fn_with_state(Arc::clone(state), problems::write_problems))
        .layer(from_fn_with_state(Arc::clone(state), observe::observe))
        .layer(map_response(security_headers::set))
        .layer(from_fn(request_id::set))
}
