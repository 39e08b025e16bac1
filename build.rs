//! Makes what the service serves from files that are written by hand: `openapi.yaml` becomes JSON,
//! and the guide's Markdown becomes pages.
//!
//! Converting at build time keeps the parsers out of the server, and the files in sync.

#[path = "build/guide.rs"]
mod guide;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=openapi.yaml");
    let contract: serde_norway::Value =
        serde_norway::from_str(&std::fs::read_to_string("openapi.yaml")?)?;
    let out = std::env::var("OUT_DIR")?;
    let out = Path::new(&out);
    std::fs::write(out.join("openapi.json"), serde_json::to_vec(&contract)?)?;
    guide::build(out)
}
