//! Turns `openapi.yaml`, which people write, into the JSON that programs read at `/openapi.json`.
//!
//! Done here and not by the server, which then needs no YAML parser; and not by hand,
//! so that the two cannot differ.

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
