//! The HTTP edge: requests in, responses out.
//!
//! [`listener`] accepts connections, `connection` limits each in time, [`router`](router::router) maps paths to `handlers`.
//! `middleware` surrounds them: one layer per file, request id and logging outermost, then problem
//! bodies, CORS and panics; [`admission`](middleware::admission) in front of the handlers that do
//! work. A handler `extract`s a typed request, calls [`app`](crate::app) through its permit, and
//! `respond`s, or streams events through `sse`. [`problem`] writes errors as problem documents.
//! `protocols` translates the requests of other inference servers' clients.
//!
//! The router is a function from requests to responses, which is how most tests call it.

mod allowed_methods;
mod connection;
mod extensions;
mod extract;
#[doc(hidden)]
pub mod fuzzing;
mod guide;
mod handlers;
pub mod listener;
mod metrics;
pub mod middleware;
mod page;
pub mod problem;
mod protocols;
mod reload;
mod respond;
pub mod response_headers;
mod router;
mod samples;
pub mod serve;
mod sse;
mod state;
mod tapped_body;

pub use router::{admin_router, paths, router};
pub use serve::serve;
pub use state::AppState;
