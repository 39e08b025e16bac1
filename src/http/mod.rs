//! The edge: routes, requests, answers, problems, the page.
//!
//! A request passes through these rooms: [`server`] holds its connection, `around` gives
//! it an id and a span, [`admission`] a place in the queue, [`request`] makes one typed
//! struct of it, [`work`] does it on a thread that may block, [`answer`] words the result and
//! [`problem`] what went wrong; `stream` tells how it goes meanwhile. Handlers only say the order.
//!
//! [`app`] is the whole service as a function from requests to answers, which is how most
//! tests call it.

pub mod admission;
pub mod answer;
mod around;
mod health;
mod metrics;
pub(crate) mod models;
pub mod options;
mod page;
pub mod problem;
mod render;
pub mod request;
mod routes;
pub mod server;
mod stream;
mod v1;
pub mod work;

use std::sync::Arc;

use crate::config;
use crate::engine::ModelRegistry;
pub use routes::{app, paths};

/// What all requests share.
pub struct App {
    models: ModelRegistry,
    server: config::Server,
    admission: Arc<admission::Admission>,
    metrics: metrics::Metrics,
}

impl App {
    /// A service with these models and limits.
    #[must_use]
    pub fn new(models: ModelRegistry, server: config::Server) -> Arc<Self> {
        let admission = admission::Admission::new(&server);
        Arc::new(Self { models, server, admission, metrics: metrics::Metrics::default() })
    }

    /// The queue, which a shutdown empties.
    #[must_use]
    pub fn admission(&self) -> &Arc<admission::Admission> {
        &self.admission
    }
}
