//! Converts `openapi.yaml`, which is maintained by hand, to the JSON that the service publishes.
//!
//! Converting at build time keeps the YAML parser out of the server, and the two files in sync.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=openapi.yaml");
    let contract: serde_norway::Value =
        serde_norway::from_str(&std::fs::read_to_string("openapi.yaml")?)?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("openapi.json"), serde_json::to_vec(&contract)?)?;
    Ok(())
}
