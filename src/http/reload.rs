//! What SIGHUP does.

use super::state::AppState;

/// Takes in what changed in the models folder, without waiting for it. What each model's reload
/// led to is in the log.
pub(super) fn reload(state: &AppState) {
    let models = state.models.clone();
    tracing::info!("SIGHUP: reloading the models");
    tokio::task::spawn_blocking(move || {
        if let Err(error) = models.reload() {
            tracing::error!(?error, "the models can't be reloaded");
        }
    });
}
