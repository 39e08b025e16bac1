//! What cloud platforms tell a container in variables of their own: where to listen, and at which
//! paths Vertex AI sends its requests.
//!
//! They count more than the file and less than camlens's own variables and flags. A port set so is
//! served on all interfaces, because the platform connects from outside the container.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Server, setup};
use crate::error::Result;

/// Variables that hold a port.
const PORTS: [&str; 2] = ["SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"];

/// Applies the platforms' variables.
///
/// # Errors
/// [`Kind::Setup`](crate::error::Kind::Setup) with a single line that names the variable.
pub(super) fn apply(server: &mut Server, environment: &[(String, String)]) -> Result<()> {
    let find = |name: &str| {
        let found = environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    for name in PORTS {
        let Some(text) = find(name) else { continue };
        let port = text.parse().ok().filter(|port| *port != 0);
        let port: u16 =
            port.ok_or_else(|| setup(format!("{name} must be a port, not '{text}'")))?;
        server.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    }
    server.vertex.health_route = route("AIP_HEALTH_ROUTE", find("AIP_HEALTH_ROUTE"))?;
    server.vertex.predict_route = route("AIP_PREDICT_ROUTE", find("AIP_PREDICT_ROUTE"))?;
    Ok(())
}

/// A path that the router can hold as it is.
fn route(name: &str, value: Option<&str>) -> Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    let is_plain = |segment: &str| !segment.starts_with([':', '*']);
    let is_path = value.starts_with('/') && value.split('/').all(is_plain);
    if !is_path || value.contains(['{', '}', '?', '#', ' ', '%']) {
        return Err(setup(format!("{name} must be a path such as /predict, not '{value}'")));
    }
    Ok(Some(value.to_owned()))
}
