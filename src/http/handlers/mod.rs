//! Handlers, thin: extract, call [`app`](crate::app), respond.

pub(super) mod admin;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod models;
pub(super) mod v1;
