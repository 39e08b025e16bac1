//! What SIGHUP does.

use super::state::AppState;

/// Takes in what changed in the models folder. The models that are served stay until then.
///
/// The registry reads the folder only when the service starts, so for now this says so in the log.
pub(super) fn reload(state: &AppState) {
    let default = state.models.default_id();
    tracing::warn!(default, "SIGHUP: models are read when the service starts; restart it");
}
